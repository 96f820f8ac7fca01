"""A few hundred of the cases of tests/fuzz_readers.py, the same in each run."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip('hypothesis')
pytest.importorskip('pyarrow')


def test_hostile_files(tmp_path):
    spec = importlib.util.spec_from_file_location('fuzz_readers', Path(__file__).parents[1] / 'fuzz_readers.py')
    fuzz_readers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz_readers)
    outcomes = fuzz_readers.fuzz(300, tmp_path, derandomize=True)
    # the cases reach all that there is
    assert {'read', 'mask', 'mask refused', 'refused: ValueError'} <= set(outcomes), outcomes
