"""Tools that look at a data set, as a user runs them."""

import json
import pickle
import re
import runpy
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pycocotools.mask as coco
import pytest
from PIL import Image

from mgfe_ris.apis import load_config
from mgfe_ris.datasets.masks import decode_segmentation, turned_size
from mgfe_ris.visualization import caption, overlay
from mgfe_ris.visualization.draw import TRUTH

REPO = Path(__file__).parents[2]
TOOLS = REPO / 'tools/analysis_tools'
SHAPES = REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'
REAL = REPO / 'configs/mgfe_ris/mgfe-ris_swin-base_refcoco.py'
AUGMENTED = REPO / 'configs/mgfe_ris/mgfe-ris_swin-base_refcoco_augmented.py'


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """A tool in this process -> what it printed; in an empty folder, where it would leave its files."""
    monkeypatch.chdir(tmp_path)

    def run_tool(tool: str, *args: object) -> str:
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
        return capsys.readouterr().out

    return run_tool


def at(root: Path, *options: str) -> list[str]:
    return ['--cfg-options', f'data_root={root}', *options]


def refs_of(root: Path, name: str, split: str) -> list[dict]:
    return [ref for ref in pickle.loads((root / name / 'refs(unc).p').read_bytes()) if ref['split'] == split]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == 'PNG'
        return np.asarray(picture.convert('RGB'))


# Samples


def test_a_sample_looks_as_the_model_gets_it(run, refshapes, tmp_path):
    """The test's pipeline of a tiny model stretches the photo to 64 x 64, which these have already."""
    run('browse_dataset.py', SHAPES, '--split', 'val', '--samples', 1, '--out', 'a.png', *at(refshapes))
    drawn = pixels(tmp_path / 'a.png')
    tool = runpy.run_path(str(TOOLS / 'browse_dataset.py'))
    width = tool['WIDTH']
    dataset = tool['build_dataset'](load_config(SHAPES, data_root=str(refshapes)), 'val')
    found = []
    for i in range(len(dataset)):
        truth = dataset[i]['data_samples']
        with Image.open(truth.img_path) as photo:
            large = np.asarray(photo.convert('RGB').resize((width, width), Image.Resampling.BICUBIC))
        mask = truth.gt_sem_seg.data[0].numpy() == 1
        expected = caption(np.concatenate([large, overlay(large, mask, TRUTH)], 1), truth.sentence, tool['FONT'])
        if expected.shape[0] <= drawn.shape[0]:
            apart = drawn[: len(expected), : 2 * width].astype(int) - expected
            # resized by other filters, the photos differ at edges, the text does not
            if np.abs(apart).mean() < 3 and not apart[width:].any():
                found.append(i)
    assert len(found) == 1


def test_pages_of_a_folder(run, refshapes, tmp_path):
    printed = run('browse_dataset.py', SHAPES, '--samples', 14, '--out', 'new/pages', *at(refshapes))
    assert sorted(p.name for p in (tmp_path / 'new/pages').iterdir()) == ['train_1.png', 'train_2.png']
    first, second = (pixels(tmp_path / f'new/pages/train_{i}.png') for i in (1, 2))
    assert first.shape[1] == 3 * (2 * 256 + 12) and second.shape[1] == 2 * (2 * 256 + 12)
    assert first.shape[0] > 4 * 256 and 256 < second.shape[0] < 2 * 256
    assert printed.count('wrote') == 2


def test_seeds(run, refshapes, tmp_path):
    """The seed rules the choice of samples and of sentences."""
    for name, seed in [('a', 1), ('b', 1), ('c', 2)]:
        run('browse_dataset.py', SHAPES, '--samples', 6, '--seed', seed, '--out', f'{name}.png', *at(refshapes))
    a, b, c = (pixels(tmp_path / f'{name}.png') for name in 'abc')
    np.testing.assert_array_equal(a, b)
    assert a.shape != c.shape or (a != c).any()
    # nothing is drawn by lot in a test's pipeline: the choice alone differs
    for seed in (1, 2):
        run('browse_dataset.py', SHAPES, '--split', 'val', '--seed', seed, '--out', f'{seed}.png', *at(refshapes))
    one, two = pixels(tmp_path / '1.png'), pixels(tmp_path / '2.png')
    assert one.shape != two.shape or (one != two).any()


def test_the_whole_of_a_small_split(run, refshapes, tmp_path):
    refs = refs_of(refshapes, 'refshapes', 'testB')
    number = sum(len(ref['sentences']) for ref in refs)
    run('browse_dataset.py', SHAPES, '--split', 'testB', '--samples', 999, '--out', 'a.png', *at(refshapes))
    assert len(pixels(tmp_path / 'a.png')) // 256 == -(-number // 3)


def test_augmented_photos_are_shown_with_both_sentences(refshapes, monkeypatch):
    tool = runpy.run_path(str(TOOLS / 'browse_dataset.py'))
    cfg = load_config(AUGMENTED, data_root=str(refshapes))
    cfg.train_dataloader.dataset.ann_folder = 'refshapes'
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform.type == 'FlipWithWords':
            transform.prob = 1
        if transform.type == 'WordDropout':
            transform.prob = 0
    texts = []
    monkeypatch.setattr('mgfe_ris.visualization.caption', lambda picture, text, _: texts.append(text) or picture)
    dataset = tool['build_dataset'](cfg, 'train')
    for i in range(20):
        tool['draw'](dataset, i, bgr=True)
    flipped = [text for text in texts if re.search(r'\b(left|right)', text)]
    assert flipped and len(texts) == 20
    for text in flipped:
        now, written = re.fullmatch(r'(.*)\n\(in the file: (.*)\)', text).groups()
        assert now == written.replace('left', '*').replace('right', 'left').replace('*', 'right')
    assert all('\n' not in text for text in texts if text not in flipped)


def test_a_sample_without_a_target_says_so(refshapes, monkeypatch):
    tool = runpy.run_path(str(TOOLS / 'browse_dataset.py'))
    dataset = tool['build_dataset'](load_config(SHAPES, data_root=str(refshapes)), 'val')

    class Empty:
        get_data_info = dataset.get_data_info

        def __getitem__(self, i: int) -> dict:
            packed = dataset[i]
            packed['data_samples'].gt_sem_seg.data.zero_()
            return packed

    texts = []
    monkeypatch.setattr('mgfe_ris.visualization.caption', lambda picture, text, _: texts.append(text) or picture)
    pair = tool['draw'](Empty(), 0, bgr=True)
    assert texts[0].endswith('\n(no target)')
    np.testing.assert_array_equal(pair[:, :256], pair[:, 256:])


def test_real_photos(run, coco_ref, tmp_path):
    run('browse_dataset.py', AUGMENTED, '--samples', 3, '--out', 'a.png', *at(coco_ref))
    assert pixels(tmp_path / 'a.png').shape[1] == 3 * (2 * 256 + 12)


# Statistics


def count_refs(root: Path, name: str, split: str) -> dict:
    """From the files themselves; these sentences are of letters, spaces and exclamation marks."""
    refs = refs_of(root, name, split)
    sentences = [sentence['raw'].lower().replace('!', '').split() for ref in refs for sentence in ref['sentences']]
    assert all(word.isalpha() for words in sentences for word in words)
    return {
        'photos': len({ref['image_id'] for ref in refs}),
        'objects': len(refs),
        'without target': 0,
        'sentences': len(sentences),
        'words per sentence': round(sum(map(len, sentences)) / len(sentences), 2),
        'longest, words': max(map(len, sentences)),
        'different words': len({word for words in sentences for word in words}),
        'sentences by words': {str(k): n for k, n in sorted(Counter(map(len, sentences)).items())},
        'words': Counter(word for words in sentences for word in set(words)),
    }


def check_report(report: dict, expected: dict) -> None:
    words = expected.pop('words')
    assert {key: report[key] for key in expected} == expected
    assert all(words[word] == number for word, number in report['sentences by frequent word'].items())
    assert max(words.values()) == max(report['sentences by frequent word'].values())
    assert sum(report['targets by size']['counts']) == expected['objects']


def test_counts_are_those_of_the_files(run, refshapes, tmp_path):
    args = ('--out', 'new/stats.png', '--json', 'new/stats.json', '--maps', 16, 64)
    printed = run('dataset_stats.py', SHAPES, *args, *at(refshapes))
    reports = json.loads((tmp_path / 'new/stats.json').read_text())
    assert list(reports) == ['train', 'val', 'testA', 'testB'], "by default the config's own"
    for split, report in reports.items():
        check_report(report, count_refs(refshapes, 'refshapes', split))
    instances = json.loads((refshapes / 'refshapes/instances.json').read_text())
    areas = {annotation['id']: annotation['area'] for annotation in instances['annotations']}
    sizes = [100 * areas[ref['ann_id']] / 64**2 for ref in refs_of(refshapes, 'refshapes', 'train')]
    assert reports['train']['median size, % of photo'] == pytest.approx(np.median(sizes), rel=0.02)
    (row,) = [line for line in printed.splitlines() if line.startswith('objects')]
    assert row.split()[1:] == [f'{report["objects"]:,}' for report in reports.values()]
    assert pixels(tmp_path / 'new/stats.png').shape == (1000, 1500, 3)
    for split in reports:  # photos of 64 x 64
        assert f'| {split} | 64 | 100.0 | 100.0 | 100.0 |' in printed and f'| {split} | 16 | 100' not in printed


def test_a_split_is_read_from_the_data_that_the_config_names_for_it(refshapes, coco_ref):
    tool = runpy.run_path(str(TOOLS / 'dataset_stats.py'))
    cfg = load_config(SHAPES, data_root=str(refshapes))
    cfg.test_dataloader.dataset.update(data_root=str(coco_ref), ann_folder='refcoco')
    datasets = tool['build_datasets'](cfg, ['train', 'val'])
    assert {name: Path(dataset.data_root) for name, dataset in datasets.items()} == {
        'train': refshapes,
        'val': coco_ref,
    }


def test_counts_of_real_photos(run, coco_ref, tmp_path):
    run('dataset_stats.py', REAL, '--splits', 'testB', 'val', '--json', 'stats.json', *at(coco_ref))
    reports = json.loads((tmp_path / 'stats.json').read_text())
    assert list(reports) == ['testB', 'val']
    for split, report in reports.items():
        check_report(report, count_refs(coco_ref, 'refcoco', split))
    assert (tmp_path / 'stats.png').is_file()


# Speed


RLE = dict(size=[30, 40], counts=[100, 50, 1050])
PACKED = coco.frPyObjects(RLE, 30, 40)
PARTS = {
    'polygons that overlap': [[1, 1, 20, 1, 20, 20, 1, 20], [10, 10, 28, 10, 28, 15, 10, 15]],
    'an uncompressed RLE': [RLE],
    'a compressed one': [PACKED],
    'its text': [dict(PACKED, counts=PACKED['counts'].decode())],
    'all': [[1, 1, 20, 1, 20, 20], dict(size=[30, 40], counts=[0, 5, 1195]), {'png': 'mask.png'}],
    'one in parts of the photo': [{'normalized': [0.1, 0.1, 0.5, 0.1, 0.5, 0.75]}],
    'a value of a PNG': [{'png': 'mask.png', 'value': 0}],
    'nothing': [],
}  # fmt: skip


@pytest.mark.parametrize('form', PARTS)
def test_the_plain_loader_reads_every_form_of_a_mask(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.eye(30, 40, dtype=np.uint8)).save('mask.png')
    plain_mask = runpy.run_path(str(TOOLS / 'benchmark_loader.py'))['plain_mask']
    found = plain_mask(PARTS[form], 30, 40)
    np.testing.assert_array_equal(found, decode_segmentation(PARTS[form], 30, 40))
    assert found.any() == (form != 'nothing')


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
@pytest.mark.parametrize('raw', [False, True])
def test_the_plain_loader_turns_masks_with_the_photo(tmp_path, monkeypatch, orientation, raw):
    monkeypatch.chdir(tmp_path)
    plain_mask = runpy.run_path(str(TOOLS / 'benchmark_loader.py'))['plain_mask']
    Image.fromarray(np.eye(30, 40, dtype=np.uint8)).save('mask.png')  # as it is stored
    shown = turned_size((30, 40), orientation)
    for part in ([1, 2, 20, 2, 20, 15], {'normalized': [0.1, 0.1, 0.5, 0.1, 0.5, 0.75]}, RLE, {'png': 'mask.png'}):
        expected = decode_segmentation([part], *shown, orientation, raw)
        np.testing.assert_array_equal(plain_mask([part], *shown, orientation, raw), expected)
        assert expected.any()


def test_speed_of_drawn_data(run, refshapes):
    """Masks of things that hide others are compressed RLEs."""
    printed = run('benchmark_loader.py', SHAPES, '--split', 'val', '--repeats', 1, *at(refshapes))
    assert re.search(r'ratio: \d', printed) and 'share of decoding' in printed


# Bad input


@pytest.mark.parametrize('tool', ['browse_dataset.py', 'dataset_stats.py'])
@pytest.mark.parametrize(
    ('kind', 'message'),
    [('config', 'no such config'), ('data', 'gone'), ('split', "no split 'train2'"), ('out', '')],
)
def test_bad_input_is_one_line(run, refshapes, tmp_path, capsys, tool, kind, message):
    split = '--split' if 'browse' in tool else '--splits'
    args = {
        'config': ['nothing.py', *at(refshapes)],
        'data': [SHAPES, *at(tmp_path / 'gone')],
        'split': [SHAPES, split, 'train2', *at(refshapes)],
        'out': [SHAPES, '--out', 'file/a.png', *at(refshapes)],
    }
    if kind == 'out':
        (tmp_path / 'file').write_text('')
    with pytest.raises(SystemExit) as error:
        run(tool, *args[kind])
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith('error: ') and message in line
    assert [p.name for p in tmp_path.iterdir()] == ['file'] * (kind == 'out')


@pytest.mark.parametrize(
    ('tool', 'args', 'message'),
    [
        ('browse_dataset.py', ['--samples', 0], '--samples 0: at least 1'),
        ('dataset_stats.py', ['--out', 'stats.xyz'], '--out stats.xyz: the picture is a .png'),
    ],
)
def test_bad_arguments(run, capsys, tmp_path, tool, args, message):
    with pytest.raises(SystemExit) as error:
        run(tool, SHAPES, *args)
    assert error.value.code == 2 and message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
