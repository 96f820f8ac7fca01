"""A few hundred of the cases of tests/fuzz_readers.py, the same in each run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('hypothesis')
pytest.importorskip('pyarrow')

TESTS = Path(__file__).parents[1]
# in a process of its own: hypothesis draws numbers that stand in modules, whichever other tests have brought along
FUZZ = """
import json, pathlib, sys
from fuzz_readers import fuzz
print(json.dumps(fuzz(300, pathlib.Path(sys.argv[1]), derandomize=True)))
"""


def test_hostile_files(tmp_path):
    paths = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', FUZZ, tmp_path],
        env={**os.environ, 'PYTHONPATH': paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout.splitlines()[-1])
    # the cases reach all that there is
    assert {'read', 'mask', 'mask refused', 'refused: ValueError'} <= set(outcomes), outcomes
