"""RefShapes: what the sentences mean, what is drawn, and what is written."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mgfe_ris.datasets.synthetic import (
    FLAVOURS,
    GENERALIZED,
    VOCABULARY,
    SceneObject,
    parse,
    resolve,
    sample_scene,
    speak,
    write_refshapes,
    writer,
)
from mgfe_ris.datasets.synthetic.expressions import POSITION_WORDS
from mgfe_ris.datasets.synthetic.scenes import COLOURS

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/dataset_converters/make_refshapes.py'
IMAGES, SEED, SIZE = 120, 5, 64


# What sentences mean, on hand-made scenes


def thing(words: str, x: float, y: float, radius: float = 0.15, visible: float = 1.0) -> SceneObject:
    texture, colour, shape = words.split()
    return SceneObject(shape, colour, texture, x, y, radius, visible)


#   0 red star             1 red star (small)
#             2 blue ring
#   3 white ring (big)
SCENE = [
    thing('plain red star', 0.2, 0.2, 0.2),
    thing('striped red star', 0.8, 0.22, 0.1),
    thing('dotted blue ring', 0.5, 0.5, 0.12),
    thing('plain white ring', 0.15, 0.8, 0.2),
]


@pytest.mark.parametrize(
    ('sentence', 'answer'),
    [
        ('green star', ()),
        ('red star', (0, 1)),
        ('the striped red star', (1,)),
        ('plain one', (0, 3)),
        ('the star that is striped', (1,)),
        # Positions: among the rivals, on the side that is said; a tie names both.
        ('left star', (0,)),
        ('rightmost star', (1,)),
        ('star at the top', (0, 1)),
        ('left one', (0, 3)),
        ('ring on the right', ()),
        ('blue ring on the left', ()),
        ('bottom left ring', (2, 3)),  # the one in the centre is too near to that quarter
        ('bottom left white ring', (3,)),
        ('the ring in the bottom right corner', ()),
        ('the shape in the middle of the image', (2,)),
        ('lowest shape', (3,)),
        # Sizes: only against rivals of the same name.
        ('biggest star', (0,)),
        ('small red star', (1,)),
        ('small blue ring', ()),
        ('the small ring on the left', ()),
        # Relations.
        ('the star left of the blue ring', (0,)),
        ('the star above the white ring', (0, 1)),
        ('the red star above the white ring and right of the blue ring', (1,)),
        ('the star left of the star', ()),
        ('the one below the blue ring and is plain', (3,)),
        ('the star closest to the white ring', (0,)),
        ('the blue ring closest to the white ring', ()),
    ],
)
def test_resolve(sentence: str, answer: tuple[int, ...]) -> None:
    assert resolve(sentence, SCENE) == answer


def test_margins_make_close_calls_ambiguous() -> None:
    def stars(*args: tuple[float, float]) -> list[SceneObject]:
        return [thing('plain red star', x, 0.2, radius) for x, radius in args]

    assert resolve('left star', stars((0.2, 0.1), (0.29, 0.1))) == (0,)
    assert resolve('left star', stars((0.2, 0.1), (0.27, 0.1))) == (0, 1)
    assert resolve('big star', stars((0.2, 0.1), (0.6, 0.126))) == (1,)
    assert resolve('big star', stars((0.2, 0.1), (0.6, 0.124))) == (0, 1)
    # 0.15 with half its area hidden looks like 0.106: too little to be the bigger one beyond doubt.
    hidden = thing('plain red star', 0.6, 0.2, 0.15, visible=0.5)
    assert resolve('big star', [*stars((0.2, 0.1)), hidden]) == (0, 1)


@pytest.mark.parametrize(
    ('sentence', 'reason'),
    [
        ('red star please', "cannot read 'please'"),
        ('star red blue', 'colour is said twice'),
        ('red', "cannot read ''"),
        ('big one', 'a size needs a shape'),
        ('the small shape left of the red ring', 'a size needs a shape'),
        ('star left of the small one', 'a size needs a shape'),
    ],
)
def test_sentences_outside_the_grammar_are_named(sentence: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(sentence)


# What is drawn and said


@pytest.mark.parametrize('flavour', FLAVOURS)
def test_every_sentence_means_its_target(flavour: str) -> None:
    said = []
    for index in range(80):
        rng = np.random.default_rng([11, index])
        scene = sample_scene(rng, 48)
        for target in range(len(scene.objects)):
            sentences = speak(target, scene.objects, flavour, rng)
            assert len(set(sentences)) == len(sentences) <= 3
            for sentence in sentences:
                assert resolve(sentence, scene.objects) == (target,), sentence
            said += sentences
    words = [word for sentence in said for word in sentence.split()]
    assert set(words) <= set(VOCABULARY)
    low, high = {'refshapes': (3, 4), 'refshapes+': (2.6, 4), 'refshapesg': (7.5, 9.5)}[flavour]
    assert low <= len(words) / len(said) <= high
    assert POSITION_WORDS.isdisjoint(words) == (flavour == 'refshapes+')
    kinds = [parse(sentence).kind for sentence in said]
    usual = {'refshapes': 'position', 'refshapes+': 'size', 'refshapesg': 'relation'}[flavour]
    assert kinds.count(usual) >= {'position': 0.3, 'size': 0.05, 'relation': 0.5}[usual] * len(kinds)


def test_vocabulary_is_small() -> None:
    assert len(set(VOCABULARY)) == len(VOCABULARY) <= 60
    assert all(word.isalpha() and word.islower() for word in VOCABULARY)


def test_scenes_keep_every_object_visible() -> None:
    drawn_over = 0
    for index in range(60):
        scene = sample_scene(np.random.default_rng([2, index]), SIZE)
        assert scene.image.shape == (SIZE, SIZE, 3) and scene.image.dtype == np.uint8
        assert 2 <= len(scene.objects) == len(scene.masks) <= 5
        assert scene.masks.sum(0).max() == 1, 'visible regions overlap'
        for seen, mask in zip(scene.objects, scene.masks, strict=True):
            assert 0.5 <= seen.visible <= 1
            drawn_over += seen.visible < 0.9
            rows, columns = np.nonzero(mask)
            assert seen.y * SIZE == pytest.approx(rows.mean() + 0.5)
            assert seen.x * SIZE == pytest.approx(columns.mean() + 0.5)
            assert np.ptp(rows) + 1 <= 2 * seen.radius * SIZE + 2
    assert drawn_over > 10


def test_objects_look_as_their_colour_says() -> None:
    """The median of a plain object is nearest to its colour, but for a rare shadow."""
    palette = np.array(list(COLOURS.values()))
    right = []
    for index in range(400):
        scene = sample_scene(np.random.default_rng([4, index]), SIZE)
        for seen, mask in zip(scene.objects, scene.masks, strict=True):
            if seen.texture == 'plain':
                median = np.median(scene.image[mask], 0)
                right.append(list(COLOURS)[np.abs(palette - median).sum(1).argmin()] == seen.colour)
    assert len(right) > 30
    assert np.mean(right) >= 0.97


# What is written


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('refshapes')
    for flavour in FLAVOURS:
        write_refshapes(out, flavour, IMAGES, SEED, SIZE, progress=False)
    return out


def load(out: Path, flavour: str) -> tuple[dict, list[dict]]:
    (refs,) = (out / flavour).glob('refs(*).p')
    assert refs.name == ('refs(umd).p' if flavour == 'refshapesg' else 'refs(unc).p')
    return json.loads((out / flavour / 'instances.json').read_text()), pickle.loads(refs.read_bytes())


def digests(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob('*') if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize('flavour', FLAVOURS)
def test_refs_and_instances_fit_together(written: Path, flavour: str) -> None:
    instances, refs = load(written, flavour)
    images = {image['id']: image for image in instances['images']}
    annotations = {annotation['id']: annotation for annotation in instances['annotations']}
    names = {category['id']: category['name'] for category in instances['categories']}
    assert len(images) == IMAGES == len(list((written / 'images' / flavour).iterdir()))
    assert len(annotations) == len(instances['annotations'])
    for ref in refs:
        annotation, image = annotations[ref['ann_id']], images[ref['image_id']]
        assert annotation['image_id'] == ref['image_id']
        assert annotation['category_id'] == ref['category_id']
        assert image['file_name'] == ref['file_name']
        assert ref['sent_ids'] == [sentence['sent_id'] for sentence in ref['sentences']]
        for sentence in ref['sentences']:
            assert sentence['tokens'] == sentence['sent'].split() and sentence['raw'] == sentence['sent']
            assert parse(sentence['sent']).shape in (None, names[ref['category_id']])
    for values in ([ref['ref_id'] for ref in refs], [i for ref in refs for i in ref['sent_ids']]):
        assert values == list(range(len(values)))
    assert len({ref['ann_id'] for ref in refs}) == len(refs)
    for image in images.values():
        with Image.open(written / 'images' / image['file_name']) as picture:
            assert picture.size == (image['width'], image['height']) == (SIZE, SIZE)


def test_refs_are_plain_types_of_the_known_form(written: Path) -> None:
    _, refs = load(written, 'refshapes')
    keys = 'sent_ids file_name ann_id ref_id image_id split sentences category_id'
    assert list(refs[0]) == keys.split()
    types: set[type] = set()

    def visit(value: object) -> None:
        types.add(type(value))
        for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            visit(child)

    visit(refs)
    assert types == {list, dict, int, str}


def test_segmentations_are_the_visible_regions(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redraw scenes with the writer's own seeds and compare the masks with the decoded file."""
    scenes = []

    def remember(rng: np.random.Generator, size: int):
        scenes.append(sample_scene(rng, size))
        return scenes[-1]

    monkeypatch.setattr(writer, 'sample_scene', remember)
    instances, _ = load(written, 'refshapes')
    request = writer._Request('refshapes', IMAGES, SEED, SIZE)
    forms = []
    for index in range(0, IMAGES, 4):
        writer._draw_one(request, written / 'images/refshapes', index)
        regions = [a for a in instances['annotations'] if a['image_id'] == index + 1]
        assert len(regions) == len(scenes[-1].masks)
        for region, mask in zip(regions, scenes[-1].masks, strict=True):
            segmentation = region['segmentation']
            polygon = isinstance(segmentation, list)
            forms.append(polygon)
            rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, SIZE, SIZE)) if polygon else segmentation
            decoded = coco_mask.decode(rle)
            assert decoded.shape == (SIZE, SIZE)
            assert np.array_equal(decoded, mask)
            assert region['area'] == decoded.sum()
            assert region['bbox'] == coco_mask.toBbox(rle).tolist()
    assert any(forms) and not all(forms)


@pytest.mark.parametrize('flavour', FLAVOURS)
def test_splits_are_disjoint_and_all_there(written: Path, flavour: str) -> None:
    _, refs = load(written, flavour)
    tests = {'test'} if flavour == 'refshapesg' else {'testA', 'testB'}
    splits = {name: {r['image_id'] for r in refs if r['split'] == name} for name in {'train', 'val'} | tests}
    assert sum(map(len, splits.values())) == IMAGES == len(set().union(*splits.values()))
    assert len(splits['train']) / IMAGES == pytest.approx(0.8, abs=0.01)
    assert {ref['split'] for ref in refs} == set(splits)


@pytest.mark.parametrize('flavour', FLAVOURS)
def test_ten_images_give_every_split_one(tmp_path: Path, flavour: str) -> None:
    summary = write_refshapes(tmp_path, flavour, 10, 0, 32, progress=False)
    assert all(row['images'] >= 1 and row['sentences'] >= 1 for row in summary['splits'].values())


def test_test_a_is_round_and_test_b_small_or_hidden(written: Path) -> None:
    instances, refs = load(written, 'refshapes')
    names = {category['id']: category['name'] for category in instances['categories']}
    shapes = {split: {names[r['category_id']] for r in refs if r['split'] == split} for split in ('train', 'testA')}
    assert shapes['testA'] == {'circle', 'ring'}
    assert len(shapes['train']) == 8

    small, big, hidden = (thing('plain red star', 0.5, 0.5, r, v) for r, v in ((0.13, 1), (0.2, 1), (0.2, 0.7)))
    assert [writer.belongs(seen, 'testB') for seen in (small, big, hidden)] == [True, False, True]
    areas = {a['id']: a['area'] for a in instances['annotations']}
    mean = {s: np.mean([areas[r['ann_id']] for r in refs if r['split'] == s]) for s in ('val', 'testB')}
    assert mean['testB'] < 0.8 * mean['val']


def test_most_scenes_hold_a_distractor(written: Path) -> None:
    instances, _ = load(written, 'refshapes')
    shapes: dict[int, list[int]] = {}
    for annotation in instances['annotations']:
        shapes.setdefault(annotation['image_id'], []).append(annotation['category_id'])
    same_shape = sum(len(set(ids)) < len(ids) for ids in shapes.values()) / IMAGES
    share = json.loads((written / 'refshapes/summary.json').read_text())['distractor share']
    assert 0.5 <= same_shape <= share <= 1


# The packages around the generator import torch and OpenMMLab, seconds for every process. The
# generator itself needs neither: here it is imported alone.
SCRIPT = f"""
import sys, types
for name in ('mgfe_ris', 'mgfe_ris.datasets'):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [{str(ROOT)!r} + '/' + name.replace('.', '/')]
from mgfe_ris.datasets.synthetic import write_refshapes
if __name__ == '__main__':
    write_refshapes(sys.argv[1], 'refshapes', {IMAGES}, {SEED}, {SIZE}, jobs=int(sys.argv[2]))
    assert not {{'torch', 'mmcv', 'mmengine'}} & set(sys.modules)
"""


def test_same_bytes_from_other_processes(written: Path, tmp_path: Path) -> None:
    script = tmp_path / 'write.py'
    script.write_text(SCRIPT)
    for name, jobs in (('a', '1'), ('b', '2')):
        command = [sys.executable, str(script), str(tmp_path / name), jobs]
        subprocess.run(command, check=True, capture_output=True, env={'PYTHONHASHSEED': jobs})
    expected = {
        name: digest
        for name, digest in digests(written).items()
        if name.startswith(('refshapes/', 'images/refshapes/'))
    }
    assert len(expected) == IMAGES + 3
    assert digests(tmp_path / 'a') == expected
    assert digests(tmp_path / 'b') == expected


def test_another_seed_draws_other_scenes(written: Path, tmp_path: Path) -> None:
    write_refshapes(tmp_path, 'refshapes', 10, SEED + 1, SIZE, progress=False)
    first = 'images/refshapes/000001.jpg'
    assert (tmp_path / first).read_bytes() != (written / first).read_bytes()


def test_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = writer._draw_one

    def interrupted(request, folder, index):
        if index == 5:
            raise KeyboardInterrupt
        return draw(request, folder, index)

    monkeypatch.setattr(writer, '_draw_one', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_refshapes(tmp_path / 'out', 'refshapes', 10, 0, 32, progress=False)
    assert not list((tmp_path / 'out').iterdir())


def test_interrupted_overwriting_keeps_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_refshapes(tmp_path, 'refshapes', 10, 0, 32, progress=False)
    before = digests(tmp_path)
    monkeypatch.setattr(writer, '_write_annotations', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_refshapes(tmp_path, 'refshapes', 10, 1, 32, progress=False, overwrite=True)
    assert digests(tmp_path) == before


def test_complete_output_is_reused_and_other_output_kept(tmp_path: Path) -> None:
    first = write_refshapes(tmp_path, 'refshapes', 10, 0, 32, progress=False)
    marker = tmp_path / 'images/refshapes/000001.jpg'
    marker.write_bytes(b'untouched')
    assert write_refshapes(tmp_path, 'refshapes', 10, 0, 32, progress=False) == first
    assert marker.read_bytes() == b'untouched'
    with pytest.raises(FileExistsError, match='--overwrite'):
        write_refshapes(tmp_path, 'refshapes', 10, 1, 32, progress=False)
    write_refshapes(tmp_path, 'refshapes', 10, 0, 32, progress=False, overwrite=True)
    assert marker.read_bytes() != b'untouched'


def test_half_moved_output_is_written_again(tmp_path: Path) -> None:
    write_refshapes(tmp_path, 'refshapes', 10, 0, 32, progress=False)
    before = digests(tmp_path)
    (tmp_path / 'refshapes').rename(tmp_path / '.refshapes.partial')
    write_refshapes(tmp_path, 'refshapes', 10, 0, 32, progress=False)
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ('change', 'name'),
    [
        ({'flavour': 'refcoco'}, 'flavour'),
        ({'images': 9}, 'images'),
        ({'seed': -1}, 'seed'),
        ({'size': 31}, 'size'),
        ({'jobs': 0}, 'jobs'),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(tmp_path: Path, change: dict, name: str) -> None:
    arguments = {'flavour': 'refshapes', 'images': 10, 'seed': 0, 'size': 32} | change
    with pytest.raises(ValueError, match=f'^{name} must'):
        write_refshapes(tmp_path / 'out', progress=False, **arguments)
    assert not (tmp_path / 'out').exists()


def run_tool(*arguments: str) -> None:
    spec = importlib.util.spec_from_file_location('make_refshapes', TOOL)
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main(arguments)


def test_the_tool_writes_all_flavours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_tool('--out', str(tmp_path), '--flavour', 'all', '--images', '10', '--size', '32')
    printed = capsys.readouterr().out
    for flavour in FLAVOURS:  # the tool names them itself, to answer --help without importing ours
        assert f'{tmp_path / flavour} (' in printed
        assert len(load(tmp_path, flavour)[0]['images']) == 10
    assert f'{tmp_path / GENERALIZED} (' in printed and (tmp_path / GENERALIZED / 'grefs(unc).json').is_file()


def test_the_tool_names_a_bad_argument(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        run_tool('--out', str(tmp_path / 'out'), '--images', '3')
    assert 'error: images must be at least 10' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
