"""A list of words out of a config's training data."""

import runpy
import sys
from pathlib import Path

import pytest

from mgfe_ris.datasets.synthetic import VOCABULARY
from mgfe_ris.models.encoders import HFTokenizer

TOOLS = Path(__file__).parents[2] / 'tools'
TOOL, CONFIG = 'dataset_converters/make_word_list.py', 'mgfe-ris_tiny_refshapes'


def test_words_of_the_training_split(run_here, refshapes, tmp_path):
    """All that the drawn sentences say, and no more; the tokenizer reads the file."""
    path = tmp_path / 'lists' / 'words.txt'
    *_, line = run_here(TOOL, CONFIG, '--out', path, '--cfg-options', f'data_root={refshapes}')
    words = path.read_text().splitlines()
    assert line == f'wrote {path}: {len(words)} words, padding and the unknown word included'
    assert words[:2] == ['<pad>', '<unk>'] and set(words[2:]) <= set(VOCABULARY) and {'red', 'the'} <= set(words)
    assert HFTokenizer(str(path)).knows('red')
    run_here(TOOL, CONFIG, '--out', path, '--at-least', 20, '--cfg-options', f'data_root={refshapes}')
    assert 2 < len(path.read_text().splitlines()) < len(words)
    run_here(TOOL, CONFIG, '--out', path, '--kind', 'seqtr', '--cfg-options', f'data_root={refshapes}')
    in_turn = path.read_text().splitlines()
    assert in_turn[:3] == ['PAD', 'UNK', 'CLS'] and set(in_turn[3:]) == set(words[2:])


@pytest.mark.parametrize(
    'wrong, said',
    [(['--out', 'words.json'], 'the list is a .txt'), (['--out', 'a.txt', '--at-least', '0'], 'expected 1 or more')],
)
def test_what_is_no_list_is_refused(monkeypatch, capsys, wrong, said):
    monkeypatch.setattr(sys, 'argv', [TOOL, CONFIG, *wrong])
    with pytest.raises(SystemExit, match='2'):
        runpy.run_path(str(TOOLS / TOOL), run_name='__main__')
    assert said in capsys.readouterr().err
