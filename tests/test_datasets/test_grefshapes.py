"""gRefShapes: what sentences with several targets, one or none mean, what is written, and that models learn from it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, METRICS
from needs import opencv
from pycocotools import mask as coco_mask

from mgfe_ris.apis import build_model, load_config
from mgfe_ris.datasets.synthetic import (
    GROUP_WORDS,
    VOCABULARY,
    SceneObject,
    resolve,
    resolve_targets,
    sample_scene,
    speak_of_targets,
    write_refshapes,
)
from mgfe_ris.models.encoders import HFTokenizer

ROOT = Path(__file__).parents[2]
CONFIGS = ('configs/mgfe_ris/mgfe-ris_tiny_grefshapes.py', 'projects/rela/rela_tiny_grefshapes.py')
SPLITS = ('train', 'val', 'testA', 'testB')


# What sentences mean, on a hand-made scene


def thing(words: str, x: float, y: float, radius: float = 0.12) -> SceneObject:
    texture, colour, shape = words.split()
    return SceneObject(shape, colour, texture, x, y, radius)


#   0 red star           1 red star
#             2 blue ring
#   3 white ring         4 blue moon
SCENE = [
    thing('plain red star', 0.2, 0.2),
    thing('striped red star', 0.8, 0.22),
    thing('dotted blue ring', 0.5, 0.5),
    thing('plain white ring', 0.15, 0.8),
    thing('plain blue moon', 0.85, 0.8),
]


@pytest.mark.parametrize(
    ('sentence', 'answer'),
    [
        # Several: with the attributes that are said, as many as are said.
        ('both red shapes', (0, 1)),
        ('the two red stars', (0, 1)),
        ('all blue shapes', (2, 4)),
        ('the plain shapes', (0, 3, 4)),
        ('the three plain shapes', (0, 3, 4)),
        ('the two shapes on the left', None),
        ('both plain shapes', None),
        ('the three red stars', None),
        ('all moons', None),
        ('the two plain shapes on the left', (0, 3)),
        ('both bottom plain shapes', (3, 4)),
        ('all rings on the left', None),  # the one in the centre is within the margin
        ('the shapes in the bottom right corner', None),
        # A list.
        ('the white ring and the moon', (3, 4)),
        ('both stars and the blue ring', (0, 1, 2)),
        ('the striped star and the moon and the white ring', (1, 3, 4)),
        ('both stars and the striped star', None),
        ('the white ring and the green moon', None),
        ('the ring and the moon', None),
        # One, as in the other flavours.
        ('the left star', (0,)),
        ('the ring that is dotted', (2,)),
        ('the star above the white ring and right of the blue ring', (1,)),
        ('the star', None),
        # None: nothing has it all, or what has it is clearly elsewhere.
        ('the green star', ()),
        ('the red moon', ()),
        ('all dotted stars', ()),
        ('both red rings', ()),
        ('the red moon and the blue star', ()),
        ('the moon on the left', ()),
        ('the white ring in the top left corner', ()),
        ('both stars at the bottom', ()),
        # Not beyond doubt.
        ('the left moon', None),
        ('the star at the bottom', None),  # perhaps the lower one of them
        ('the blue ring on the left', None),
        ('the big moon', None),
        ('the moon left of the green star', None),
        ('the plain shapes in the middle', None),
        ('the red moon and the star', None),
    ],
)
def test_resolve_targets(sentence: str, answer: tuple[int, ...] | None) -> None:
    assert resolve_targets(sentence, SCENE) == answer


@pytest.mark.parametrize(
    ('sentence', 'reason'),
    [
        ('red stars', 'expected one of both, all the, all, the two'),
        ('both leftmost stars', "'leftmost' is said of one object"),
        ('all big stars', 'a size or a relation is said of one object'),
        ('the stars left of the ring', 'a size or a relation is said of one object'),
        ('both star', "cannot read 'both star'"),
        ('all stars and the cup', "cannot read 'cup'"),
    ],
)
def test_sentences_outside_the_grammar_are_named(sentence: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        resolve_targets(sentence, SCENE)


# What is said


@pytest.fixture(scope='module')
def said() -> list[tuple[tuple[SceneObject, ...], dict[tuple[int, ...], list[str]]]]:
    """Of 200 scenes, the objects and the sentences about them."""
    scenes = []
    for index in range(200):
        rng = np.random.default_rng([17, index])
        objects = sample_scene(rng, 32).objects
        scenes.append((objects, speak_of_targets(objects, range(len(objects)), rng)))
    return scenes


def test_every_sentence_means_exactly_its_targets(said) -> None:
    counts: dict[int, int] = defaultdict(int)
    for objects, sentences in said:
        for targets, spoken in sentences.items():
            assert 1 <= len(set(spoken)) == len(spoken) <= 3
            for sentence in spoken:
                assert resolve_targets(sentence, objects) == targets, sentence
                counts[len(targets)] += 1
    total = sum(counts.values())
    assert counts[0] > total / 6 and counts[1] > total / 4 and counts[2] > total / 6 and counts[3] > total / 20


def has_all(thing: SceneObject, part: str) -> bool:
    """Read without a grammar: whether each word is an attribute, an article or a number."""
    words = set(part.split()) - {'the', 'both', 'all', 'two', 'three', 'four', 'five', 'one', 'shape', 'shapes'}
    mine = {thing.colour, thing.texture, thing.shape, f'{thing.shape}s', f'{thing.shape}es'}
    return words <= mine


PLACE_OR_SIZE = {'left', 'right', 'top', 'bottom', 'middle', 'leftmost', 'rightmost', 'topmost', 'lowest'} | {
    'big', 'large', 'biggest', 'largest', 'small', 'smallest'
}  # fmt: skip


def test_what_has_the_words_of_a_sentence_is_what_it_means(said) -> None:
    """Without the resolver: of sentences of colours, textures and shapes, any object that has all words of a part."""
    checked: dict[int, int] = defaultdict(int)
    for objects, sentences in said:
        for targets, spoken in sentences.items():
            for sentence in spoken:
                if PLACE_OR_SIZE.isdisjoint(sentence.split()):
                    parts = sentence.split(' and ')
                    assert targets == tuple(
                        i for i, thing in enumerate(objects) if any(has_all(thing, part) for part in parts)
                    ), sentence
                    checked[min(len(targets), 2)] += 1
    assert min(checked[0], checked[1], checked[2]) > 150


def test_what_is_not_there_is_made_of_what_is(said) -> None:
    """Each colour, texture and shape of a sentence without a target is some object's of the scene."""
    at_a_place = 0
    for objects, sentences in said:
        there = {word for thing in objects for word in (thing.colour, thing.texture, thing.shape)}
        there |= {f'{thing.shape}{end}' for thing in objects for end in ('s', 'es')}
        for sentence in sentences.get((), []):
            words = set(sentence.split())
            grammar = {'the', 'and', 'both', 'all', 'two', 'three', 'four', 'five', 'one', 'shape', 'shapes'}
            places = PLACE_OR_SIZE | {'on', 'in', 'at', 'side', 'corner'}
            assert words - grammar - places <= there, sentence
            at_a_place += not words.isdisjoint(places)
    assert at_a_place > 50


def test_words_are_known_and_fit_the_tokens(said) -> None:
    sentences = [sentence for _, spoken in said for several in spoken.values() for sentence in several]
    words = {word for sentence in sentences for word in sentence.split()}
    assert words <= {*VOCABULARY, *GROUP_WORDS} and {'both', 'all', 'three', 'crosses', 'shapes'} <= words
    tokenizer = HFTokenizer().tokenizer
    tokens = tokenizer(sorted(sentences, key=len)[-200:] + sorted(words)).input_ids
    assert max(map(len, tokens)) <= 20, 'the small configs would cut it'
    assert tokenizer.unk_token_id not in {i for ids in tokens for i in ids}


def test_only_of_the_objects_that_are_allowed() -> None:
    found = 0
    for index in range(40):
        rng = np.random.default_rng([19, index])
        objects = sample_scene(rng, 32).objects
        allowed = range(1, len(objects))
        sentences = speak_of_targets(objects, allowed, rng)
        assert {i for targets in sentences for i in targets} <= set(allowed)
        found += len(sentences)
    assert found > 100 and speak_of_targets(objects, (), rng) == {}


# What is written


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('grefshapes')
    write_refshapes(out, 'grefshapes', 40, 5, 64, progress=False)
    return out


def load(out: Path) -> tuple[dict, list[dict]]:
    folder = out / 'grefshapes'
    return json.loads((folder / 'instances.json').read_text()), json.loads((folder / 'grefs(unc).json').read_text())


def test_refs_are_of_grefcocos_form(written: Path) -> None:
    instances, refs = load(written)
    annotations = {annotation['id']: annotation for annotation in instances['annotations']}
    for ref in refs:
        assert ref['no_target'] == (ref['ann_id'] == [-1]) == (ref['category_id'] == [-1])
        if not ref['no_target']:
            mine = [annotations[i] for i in ref['ann_id']]
            assert {annotation['image_id'] for annotation in mine} == {ref['image_id']}
            assert [annotation['category_id'] for annotation in mine] == ref['category_id']
        assert ref['sent_ids'] == [sentence['sent_id'] for sentence in ref['sentences']]
    for values in ([ref['ref_id'] for ref in refs], [i for ref in refs for i in ref['sent_ids']]):
        assert values == list(range(len(values)))
    for split in SPLITS:  # each photo has both
        mine = [ref for ref in refs if ref['split'] == split]
        photos = {ref['image_id'] for ref in mine}
        assert photos == {ref['image_id'] for ref in mine if ref['no_target']}
        assert photos == {ref['image_id'] for ref in mine if len(ref['ann_id']) > 1}
    summary = json.loads((written / 'grefshapes/summary.json').read_text())
    assert all(set(row['kinds']) == {'none', 'one', 'several'} for row in summary['splits'].values())


def test_test_a_asks_for_round_ones(written: Path) -> None:
    instances, refs = load(written)
    names = {category['id']: category['name'] for category in instances['categories']}
    asked = [ref for ref in refs if ref['split'] == 'testA' and not ref['no_target']]
    assert {names[i] for ref in asked for i in ref['category_id']} == {'circle', 'ring'}


@opencv('4.11', 'fills other pixels')
@pytest.mark.parametrize(
    ('flavour', 'digest'),
    [
        ('refshapes', 'f5021583656b4ad7'),
        ('refshapes+', '4859e73b98880404'),
        ('refshapesg', '26ba5620ddef0b70'),
        ('grefshapes', 'd740e541a2b4ae34'),
    ],
)
def test_a_seed_gives_the_files_it_always_gave(tmp_path: Path, flavour: str, digest: str) -> None:
    """Where that is to change, raise _VERSION of the writer, so that files of another version are not reused."""
    write_refshapes(tmp_path, flavour, 10, 0, 32, progress=False)
    (refs,) = (tmp_path / flavour).glob('*refs(*')
    found = hashlib.sha256(refs.read_bytes() + (tmp_path / flavour / 'instances.json').read_bytes()).hexdigest()
    assert found[:16] == digest


# What is read, scored and learned


def config_of(path: str, data_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / 'projects/rela')
    cfg = load_config(ROOT / path, data_root=str(data_root), from_scratch=True)
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.mark.parametrize('split', SPLITS)
def test_masks_are_all_of_the_targets(written: Path, monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    instances, refs = load(written)
    segmentations = {a['id']: a['segmentation'] for a in instances['annotations']}
    truth = {}
    for ref in refs:
        truth[ref['ref_id']] = np.zeros((64, 64), bool)
        for i in ref['ann_id'] if not ref['no_target'] else ():
            rle = segmentations[i]
            if isinstance(rle, list):
                rle = coco_mask.merge(coco_mask.frPyObjects(rle, 64, 64))
            truth[ref['ref_id']] |= coco_mask.decode(rle).astype(bool)
    cfg = config_of(CONFIGS[0], written, monkeypatch)
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, 'split': split})
    assert len(dataset) == sum(len(ref['sentences']) for ref in refs if ref['split'] == split)
    for i in range(0, len(dataset), 20 if split == 'train' else 1):
        sample = dataset[i]['data_samples']
        assert np.array_equal(sample.gt_sem_seg.data[0].bool().numpy(), truth[sample.ref_id])


@pytest.mark.parametrize('path', CONFIGS)
def test_the_metric_tells_none_from_some(written: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    cfg = config_of(path, written, monkeypatch)
    assert cfg.default_hooks.checkpoint.save_best == 'gIoU' and tuple(cfg.test_cfg.splits) == SPLITS[1:]
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    none = [not sample.gt_sem_seg.data.any() for sample in samples]
    smallest = min(int(sample.gt_sem_seg.data.sum()) for sample, empty in zip(samples, none, strict=True) if not empty)
    found = {}
    for said in ('right', 'nothing'):
        metric = METRICS.build(cfg.test_evaluator)
        assert metric.min_pixels < smallest
        for sample in samples:
            mask = sample.gt_sem_seg.data if said == 'right' else torch.zeros_like(sample.gt_sem_seg.data)
            result = dict(sample.to_dict(), seg_logits=dict(data=torch.cat([1 - mask, mask]).float()))
            metric.process({}, [result | dict(pred_sem_seg=dict(data=mask))])
        found[said] = metric.evaluate(len(samples))
    figures = ('gIoU', 'cIoU', 'N-acc', 'T-acc')
    assert [found['right'][name] for name in figures] == [100, 100, 100, 100]
    share = 100 * sum(none) / len(none)
    assert [found['nothing'][name] for name in figures] == pytest.approx([share, 0, 100, 0])
    assert ('paper/cIoU' in found['right']) == ('rela' in path)


@pytest.mark.parametrize('path', CONFIGS)
def test_a_small_model_learns(written: Path, monkeypatch: pytest.MonkeyPatch, one_thread, path: str) -> None:
    """A few steps on sentences of all kinds lower the loss on them."""
    cfg = config_of(path, written, monkeypatch)
    torch.manual_seed(0)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batch = pseudo_collate([dataset[i] for i in range(8)])
    empty = [not sample.gt_sem_seg.data.any() for sample in batch['data_samples']]
    assert any(empty) and not all(empty)
    model = build_model(cfg).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    losses = []
    for _ in range(6):
        parts = model(**model.data_preprocessor(batch, training=True), mode='loss')
        losses.append(sum(value for name, value in parts.items() if 'loss' in name))
        wrapper.update_params(losses[-1])
    assert torch.isfinite(torch.stack(losses)).all() and losses[-1] < losses[0]
    tested = model.eval().test_step(batch)
    metric = METRICS.build(cfg.test_evaluator)
    metric.process({}, [sample.to_dict() for sample in tested])
    figures = metric.evaluate(len(tested))
    assert {'gIoU', 'cIoU', 'N-acc', 'T-acc'} <= figures.keys()
    assert all(0 <= value <= 100 for value in figures.values())


def test_single_sentences_mean_the_same_in_both_grammars() -> None:
    for sentence in ('left star', 'the striped red star', 'rightmost star', 'the star closest to the white ring'):
        assert resolve_targets(sentence, SCENE) == resolve(sentence, SCENE) != ()
