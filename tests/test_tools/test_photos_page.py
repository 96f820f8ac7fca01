"""The tests of the page of real photos, by the script that starts them, and the page, by its tool."""

import json
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mgfe_ris.apis import load_config
from mgfe_ris.apis.experiments.photos import TESTS

TOOLS = Path(__file__).parents[2] / 'tools'
TINY = 'mgfe-ris_tiny_refcoco'


def planned(*args: object) -> list[list[str]]:
    """The words of each command that the script runs."""
    script = ['bash', str(TOOLS / 'test_photos.sh'), 'the pool', 'people', *map(str, args)]
    printing = [sys.executable, '-S', '-c', 'import shlex, sys; print(shlex.join(sys.argv[1:]))']
    out = subprocess.run([*script, *printing, 'TOOL', 'CONFIG'], capture_output=True, text=True, check=True).stdout
    return [shlex.split(line) for line in out.splitlines()]


def test_the_script_asks_for_all_that_the_page_reads(tmp_path):
    written = set()
    for words in planned(tmp_path):
        assert words[:3] == ['TOOL', 'CONFIG', '--out'] and words[4] == '--cfg-options'
        cfg = load_config(TINY, words[5:])  # which refuses what nothing reads
        folder, tested = Path(words[3]), cfg.test_dataloader.dataset
        assert cfg.train_dataloader.dataset.data_root == 'the pool' and tested.score_at == 'photo'
        assert tested.data_root == ('the pool' if folder.name == 'pool' else 'people')
        assert tested.ann_folder == folder.name.replace('pool', 'refcoco')
        assert tested.split_by == ('umd' if folder.name == 'refcocog' else 'unc')
        for names, end in ((cfg.test_cfg.splits, ''), (cfg.test_cfg.shuffled, '-shuffled')):
            written |= {f'{folder.relative_to(tmp_path)}/{split}{end}' for split in names}
    assert written == {file for files in TESTS.values() for file in files}


@pytest.mark.parametrize('form', ['refcoco', 'lines of JSON'])
def test_the_script_takes_the_config_of_other_photos(form, run_here, refshapes, tmp_path):
    """As the quickstart trains with; its train and test sets are those of the script all the same."""
    own = tmp_path / 'own'
    own.mkdir()
    if form == 'refcoco':
        shutil.copytree(refshapes / 'refshapes', own / 'refcoco')
        (own / 'images').symlink_to(refshapes / 'images')
    else:
        (own / 'photos').symlink_to(refshapes / 'images/refshapes')
        for split in ('train', 'val'):
            line = dict(image='000001.jpg', sentences=['the ring'], mask=[[1, 1, 9, 1, 9, 9]])
            (own / f'{split}.jsonl').write_text(json.dumps(line))
    trained = tmp_path / 'trained.py'
    load_config('mgfe-ris_efficientnet-lite0_minilm_photos', run_here('photos_options.py', own)).dump(trained)
    for words in planned(tmp_path):
        cfg = load_config(trained, words[5:])
        for data in (cfg.train_dataloader.dataset, cfg.test_dataloader.dataset):
            assert data.img_folder == 'images' and data.ann_file is None
            assert data.data_root in ('the pool', 'people') and data.split_by in ('unc', 'umd')
        train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
        assert (train.ann_folder, train.split_by) == ('refcoco', 'unc')
        assert test.ann_folder in ('refcoco', 'refcoco+', 'refcocog')


def test_the_script_says_how_it_is_used():
    ended = subprocess.run(['bash', TOOLS / 'test_photos.sh', 'pool'], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count('\n') == 1
    assert ended.stderr.startswith('error: usage: bash tools/test_photos.sh POOL PEOPLE OUT COMMAND...')


def test_a_baseline_on_real_photos(refcoco_mini, coco_pool, run_here, tmp_path):
    """G-Ref's 24 and 11 sentences of the 203, as the script asks for them."""
    (words,) = (words for words in planned(tmp_path / 'largest') if words[3].endswith('refcocog'))
    words = [word.replace('the pool', str(coco_pool)).replace('=people', f'={refcoco_mini}') for word in words]
    lines = run_here('analysis_tools/blind_baseline.py', TINY, 'largest', *words[2:])
    assert {line.split('/')[0] for line in lines if '/mIoU: ' in line} == {'val', 'test', 'val-shuffled'}
    counts = {path.name: len(path.read_text().splitlines()) for path in (tmp_path / 'largest/refcocog').glob('*.jsonl')}
    assert counts['val.jsonl'] == 24 and counts['test.jsonl'] == 11


@pytest.mark.parametrize(
    ('rows', 'said'),
    [
        (['ours'], 'ours: expected NAME=FOLDER, and a folder that is there'),
        (['a={0}', 'a={0}'], "two rows are called 'a'"),
        (['a={0}'], 'pool/val.jsonl'),
    ],
)
def test_wrong_rows_are_named_and_nothing_is_written(tmp_path, monkeypatch, capfd, rows, said):
    words = [row.format(tmp_path) for row in rows]
    monkeypatch.setattr(sys, 'argv', ['photos_page.py', *words, '--page', str(tmp_path / 'new/page.md')])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOLS / 'analysis_tools/photos_page.py'), run_name='__main__')
    assert stop.value.code == 2 and said in capfd.readouterr().err and not (tmp_path / 'new').exists()
