"""The analysis of results as a user runs it, on drawn photos and a very small model."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

from mgfe_ris.apis import load_model, save_folder
from mgfe_ris.datasets import ReferringDataset

REPO = Path(__file__).parents[2]
TINY = REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'
TOOL = REPO / 'tools/analysis_tools/analyze_results.py'

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture
def analyze(monkeypatch):
    def run(*args: object) -> None:
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
        runpy.run_path(str(TOOL), run_name='__main__')

    return run


@pytest.fixture
def refused(analyze, capfd, tmp_path):
    """Runs the tool with bad input -> the one line that it says; nothing is written."""

    def run(*args: object) -> str:
        before = sorted(tmp_path.rglob('*'))
        with pytest.raises(SystemExit) as stop:
            analyze(*args)
        assert stop.value.code == 2 and sorted(tmp_path.rglob('*')) == before
        (line,) = [line for line in capfd.readouterr().err.splitlines() if not line.startswith('Could not import')]
        assert line.startswith('error: ')
        return line.removeprefix('error: ')

    return run


@pytest.fixture(scope='module')
def results(refshapes, tmp_path_factory) -> Path:
    """A line per sentence of val; predictions are the left half of the truth."""
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadPhoto'), dict(type='LoadReferringMask'), dict(type='PickSentence')]
    dataset = ReferringDataset(
        data_root=str(refshapes), ann_folder='refshapes', split_by='unc', split='val', per_sentence=True,
        pipeline=pipeline,
    )  # fmt: skip
    lines = []
    for i, sample in enumerate(dataset):
        truth = sample['gt_seg_map']
        pred = truth.copy()
        pred[:, 32:] = 0
        record = {key: sample[key] for key in ('img_path', 'img_id', 'ref_id', 'sent_id', 'sentence')}
        record |= dict(intersection=int(pred.sum()), union=int(truth.sum()), iou=float(pred.sum() / truth.sum()))
        for name, mask in (('pred', pred), ('truth', truth)):
            rle = coco_mask.encode(np.asfortranarray(mask))
            record[name] = dict(size=rle['size'], counts=rle['counts'].decode())
        record |= dataset.known_of(i)
        lines.append(json.dumps(record) + '\n')
    path = tmp_path_factory.mktemp('results') / 'val.jsonl'
    path.write_text(''.join(lines))
    return path


@pytest.fixture(scope='module')
def model(small_model, tmp_path_factory) -> Path:
    torch.manual_seed(0)
    return save_folder(load_model(TINY, options=small_model, device='cpu'), tmp_path_factory.mktemp('model'))


def test_all_pictures(results, model, tmp_path, analyze, capfd):
    out = tmp_path / 'new/analysis'
    analyze(f'one={results}', f'two={results}', '--model', model, '--samples', 2, '--out', out)
    printed = capfd.readouterr().out
    assert f'wrote factors.png, side_by_side.png, stages.png, worst.png in {out}' in printed
    records = [json.loads(line) for line in results.read_text().splitlines()]
    said = f'{len(records)} sentences about {len({record["img_id"] for record in records})} photos. In brackets: the 95'
    assert '| model | oIoU | mIoU |' in printed and '| one | ' in printed and said in printed
    assert '| category | sentences | one oIoU | one mIoU | two oIoU | two mIoU |' in printed
    sizes = {path.stem: Image.open(path).size for path in out.iterdir()}
    assert sizes['side_by_side'][0] == sizes['worst'][0] == 3 * 198
    assert sizes['stages'][0] == 5 * 198 + 12 and sizes['stages'][1] > 2 * 3 * 192
    assert all(np.asarray(Image.open(path)).std() > 10 for path in out.iterdir())


def test_sentences_with_new_words(results, tmp_path, analyze, refused, capfd):
    words = tmp_path / 'words.txt'
    words.write_text('<pad>\n<unk>\nthe\n')
    analyze(f'one={results}', '--words', words, '--out', tmp_path / 'out')
    table = capfd.readouterr().out.partition('| new words | sentences | one oIoU | one mIoU |')[2]
    assert f'| 2 or more | {len(results.read_text().splitlines())} |' in table
    words.write_bytes(b'\xff\xfe')
    assert refused(results, '--words', words).startswith(f'{words}: not a list of words in UTF-8')
    assert str(tmp_path / 'nowhere') in refused(results, '--words', tmp_path / 'nowhere')


def test_the_other_sentence_is_about_the_same_photo(results):
    other_sentence = runpy.run_path(str(TOOL))['other_sentence']
    records = [
        dict(img_id=photo, ref_id=ref, sentence=sentence)
        for photo, ref, sentence in ((1, 1, 'a'), (1, 1, 'b'), (2, 2, 'c'), (2, 3, 'd'))
    ]
    assert [other_sentence(records, record) for record in records] == ['c', 'c', 'd', 'c']
    assert other_sentence(records[:2], records[0]) == 'something else'


def test_names_and_paths(results, tmp_path):
    read = runpy.run_path(str(TOOL))['read']
    folder = tmp_path / 'lr=1e-3'
    folder.mkdir()
    file = folder / 'val=.jsonl'
    file.write_bytes(results.read_bytes())
    assert list(read([str(file)])) == ['lr=1e-3'], 'a path that holds a ='
    assert list(read([f'ours={file}', f'theirs={results}'])) == ['ours', 'theirs']


def test_a_file_in_the_working_folder_has_its_name(results, monkeypatch):
    monkeypatch.chdir(results.parent)
    assert list(runpy.run_path(str(TOOL))['read'](['val.jsonl'])) == [results.parent.name]


def test_bad_options(results, tmp_path, refused):
    out = ('--out', tmp_path / 'out')
    for count in (0, -1):
        assert refused(results, '--samples', count, *out) == f'--samples must be 1 or more; got {count}'
    assert refused(results, '--categories', 0, *out) == '--categories must be 1 or more; got 0'
    assert refused(results, '--checkpoint', 'a.pth', *out).startswith('--checkpoint needs --model')
    assert refused(results, results, *out) == f"{results}: two of the same name, '{results.parent.name}'; " + (
        'give each one, as NAME=FILE'
    )
    assert 'nowhere' in refused(results, '--model', tmp_path / 'nowhere', *out)
    file = tmp_path / 'file'
    file.touch()
    for path in (file, file / 'below'):
        assert refused(results, '--out', path) == f'--out {path}: {file} is a file; name a folder'


def test_bad_results(results, tmp_path, refused):
    out = ('--out', tmp_path / 'out')
    assert 'none.jsonl' in refused(tmp_path / 'none.jsonl', *out)
    assert 'none.jsonl' in refused(f'ours={tmp_path}/none.jsonl', *out)
    bad = tmp_path / 'bad.jsonl'
    lines = results.read_text().splitlines()
    for line, said in (
        (lines[1][:50], 'line 2: not JSON'),
        ('{"loss": 0.5}', 'line 2: img_path, sentence, img_id'),
        ('7', 'line 2: expected what a test says of a sample'),
    ):
        bad.write_text(f'{lines[0]}\n{line}\n')
        assert refused(bad, *out).startswith(f'{bad}, {said}')
    bad.write_text('\n'.join(reversed(lines)))
    assert refused(f'a={results}', f'b={bad}', *out) == 'b was tested on other samples than a'
    moved = dict(json.loads(lines[0]), img_path=str(tmp_path / 'moved.jpg'))
    bad.write_text(json.dumps(moved))
    assert 'moved.jpg' in refused(bad, *out)


# The grid


def test_a_grid_in_a_new_folder(results, run_here, tmp_path, capfd):
    run_here('analysis_tools/results_grid.py', results, '--out', tmp_path / 'new/x.png', '--samples', 1)
    assert (tmp_path / 'new/x.png').is_file()
    for name in ('grid', 'grid.txt'):
        with pytest.raises(SystemExit) as stop:
            run_here('analysis_tools/results_grid.py', tmp_path / 'none.jsonl', '--out', tmp_path / 'other' / name)
        assert stop.value.code == 2 and not (tmp_path / 'other').exists()
        assert f'a picture is called .png or .jpg: {tmp_path / "other/grid.png"}' in capfd.readouterr().err


def test_the_grid_is_chosen_by_iou(results, run_here, tmp_path, capfd):
    tool, out = 'analysis_tools/results_grid.py', ('--out', tmp_path / 'x.png', '--columns', 1)

    def draw(*options):
        run_here(tool, results, *out, *options)
        with Image.open(tmp_path / 'x.png') as picture:
            return np.asarray(picture)

    lowest, both = draw('--percentiles', 0), draw('--percentiles', 0, 100)
    assert len(lowest) < len(both) and lowest.shape[1] == both.shape[1]
    shared = len(lowest) - 40  # below the title, which names the percentiles
    assert np.array_equal(lowest[40:], both[40:][:shared])
    with pytest.raises(SystemExit) as stop:
        draw('--percentiles', 200)
    assert stop.value.code == 2 and 'a percentile lies in [0, 100]; got 200' in capfd.readouterr().err
