"""The count of memory as a user runs it."""

import runpy
import sys
from pathlib import Path

import pytest
from needs import gpu_tracing
from slow import slow

pytestmark = gpu_tracing
REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/analysis_tools/get_memory.py'
CRIS = REPO / 'projects/cris'


@pytest.fixture
def get_memory(monkeypatch, capsys):
    """Run the tool in this process -> what it printed."""

    def run(*args: object) -> str:
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    return run


def test_table(get_memory):
    printed = get_memory(
        'mgfe-ris_tiny_refshapes', '--batch', 2, '--size', 64, 96, '--words', 5, '--amp', 'bf16', '--top', 3
    )
    first, *lines = printed.splitlines()
    assert first == 'mgfe-ris_tiny_refshapes: training, 2 photos of 64 x 96, 5 words, bf16'
    assert [line[:4] for line in lines[:5]] == ['Weig', 'Grad', 'Adam', 'Kept', 'Peak']
    assert all(line.endswith(' GiB') for line in lines[:5])
    assert sum(' MiB  ' in line for line in lines) == 3


def test_size_and_words_are_those_of_the_config(get_memory, monkeypatch):
    monkeypatch.syspath_prepend(CRIS)
    printed = get_memory(CRIS / 'cris_tiny_refshapes.py', '--batch', 2, '--top', 0)
    assert '2 photos of 128 x 128, 20 words, float32' in printed.splitlines()[0]


@slow('10 s')
def test_checkpointing(get_memory):
    peaks = []
    for option in ([], ['--checkpointing']):
        printed = get_memory('mgfe-ris_swin-tiny_refcoco', '--batch', 4, '--size', 480, 480, '--top', 0, *option)
        assert ('encoder checkpointed' in printed.splitlines()[0]) == bool(option)
        peaks.append(next(float(line.split()[1]) for line in printed.splitlines() if line.startswith('Peak')))
        assert ' MiB  ' not in printed
    assert peaks[1] < peaks[0]


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['no-such-config'], 'no such config file'),
        (['mgfe-ris_tiny_refshapes', '--batch', 0], 'must be 1 or more'),
    ],
)
def test_wrong_input_is_named(get_memory, capsys, args, message):
    with pytest.raises(SystemExit) as stop:
        get_memory(*args)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith('error: ') and message in printed
