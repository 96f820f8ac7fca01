"""Splits of RefShapes, and its files in the form of RefCOCO, or of gRefCOCO."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from ... import coco_masks
from .expressions import parse, speak
from .groups import GENERALIZED, speak_of_targets
from .scenes import MIN_RADIUS, SHAPES, SceneObject, sample_scene

SPLIT_BY: dict[str, str] = {'refshapes': 'unc', 'refshapes+': 'unc', 'refshapesg': 'umd', GENERALIZED: 'unc'}
ROUND_SHAPES: tuple[str, ...] = ('circle', 'ring')  # the family of testA
SMALL_RADIUS = MIN_RADIUS * 9 / 7  # fraction of the image side; at most this, or ...
HIDDEN_BELOW = 0.85  # ... less than this share visible: an object of testB
MIN_IMAGES = 10  # with fewer, the splits would not all have an image
MIN_SIZE = 32  # pixels; below, stripes and dots can no longer be told apart

# Raise it when the same seed no longer draws the same data: files of another version are not
# reused.
_VERSION = 1


@dataclass(frozen=True)
class _Request:
    """What fully determines the files of one flavour."""

    flavour: str
    images: int
    seed: int
    size: int
    version: int = _VERSION

    def __post_init__(self) -> None:
        if self.flavour not in SPLIT_BY:
            raise ValueError(f'flavour must be one of {", ".join(SPLIT_BY)}; got {self.flavour!r}')
        if self.images < MIN_IMAGES:
            raise ValueError(f'images must be at least {MIN_IMAGES}, one for every split; got {self.images}')
        if self.seed < 0:
            raise ValueError(f'seed must not be negative; got {self.seed}')
        if self.size < MIN_SIZE:
            raise ValueError(f'size must be at least {MIN_SIZE} pixels; got {self.size}')


def write_refshapes(
    out: Path,
    flavour: str,
    images: int,
    seed: int,
    size: int,
    jobs: int = 1,
    progress: bool = True,
    overwrite: bool = False,
) -> dict:
    """Write one flavour of RefShapes below ``out``, or reuse it if it is there already.

    Writes ``images/<flavour>/*.jpg``, ``<flavour>/instances.json``, ``<flavour>/refs(unc|umd).p`` (grefshapes:
    ``grefs(unc).json``, in which a ref has a list of objects, and sentences without a target ``no_target`` and the
    objects [-1]) and ``<flavour>/summary.json``, the last rename of an otherwise complete output: an interrupted
    call leaves no ``<flavour>`` folder. The files depend on flavour, images, seed and size only, to
    the byte. The split of an image depends on its number and ``images`` only, so that flavours
    written with the same parameters may be used together.

    Args:
        out: data root, made if missing.
        flavour: one of FLAVOURS, or GENERALIZED.
        images: number of images, at least MIN_IMAGES; 80 % train, 8 % val,
            6 % testA and 6 % testB (refshapesg: 12 % test).
        seed: not negative.
        size: side of the square images in pixels, at least MIN_SIZE.
        jobs: processes that draw, at least 1.
        progress: show a progress bar.
        overwrite: replace existing output, whatever its parameters.

    Returns:
        The parameters, the folder names, the share of scenes with a distractor, and per split the
        number of images, objects (annotations), refs and sentences, and the sentences' average
        number of words and shares by kind (grefshapes: by none, one or several targets).

    Raises:
        ValueError: an argument is out of range.
        FileExistsError: there is output with other parameters and ``overwrite`` is not set.
    """
    request = _Request(flavour, images, seed, size)
    if jobs < 1:
        raise ValueError(f'jobs must be at least 1; got {jobs}')
    out = Path(out)
    if not overwrite and (known := _existing(out, request)) is not None:
        return known

    partial_out = out / f'.{flavour}.partial'
    shutil.rmtree(partial_out, ignore_errors=True)  # left there by a run that was killed
    (partial_out / 'images').mkdir(parents=True)
    try:
        records = list(_draw_all(request, partial_out / 'images', jobs, progress))
        summary = _write_annotations(request, records, partial_out / 'annotations')
        _publish(partial_out, out, flavour)
    finally:
        shutil.rmtree(partial_out, ignore_errors=True)
    return summary


def _existing(out: Path, request: _Request) -> dict | None:
    """The summary of complete output of this request; None if there is no complete output."""
    folder = out / request.flavour
    if not folder.exists():
        return None
    path = folder / 'summary.json'
    found = json.loads(path.read_text()) if path.exists() else {'parameters': 'unknown parameters'}
    if found['parameters'] != asdict(request):
        raise FileExistsError(
            f'{folder} was written with {found["parameters"]}, not {asdict(request)}; '
            'pass --overwrite (overwrite=True) to replace it'
        )
    return found if (out / 'images' / request.flavour).exists() else None


def _publish(partial_out: Path, out: Path, flavour: str) -> None:
    """Move finished files to their places. Annotations mark complete output: first out, last in."""
    images, annotations = out / 'images' / flavour, out / flavour
    for name, old in (('old_annotations', annotations), ('old_images', images)):
        if old.exists():
            old.rename(partial_out / name)  # at once, and deleted with the temporary folder
    images.parent.mkdir(exist_ok=True)
    (partial_out / 'images').rename(images)
    (partial_out / 'annotations').rename(annotations)


# Splits


def split_names(flavour: str) -> tuple[str, ...]:
    return ('train', 'val', 'test') if SPLIT_BY[flavour] == 'umd' else ('train', 'val', 'testA', 'testB')


def split_of(index: int, images: int, flavour: str) -> str:
    """The split of an image by its number: train, val, testA, testB in turn, none of them empty."""
    tests = max(1, round(0.06 * images))
    val = max(1, round(0.08 * images))
    if index >= images - tests:
        name = 'testB'
    elif index >= images - 2 * tests:
        name = 'testA'
    else:
        return 'val' if index >= images - 2 * tests - val else 'train'
    return name if name in split_names(flavour) else 'test'


def belongs(thing: SceneObject, split: str) -> bool:
    """Whether the split may ask for the object: testA for round, testB for small or hidden ones."""
    if split == 'testA':
        return thing.shape in ROUND_SHAPES
    if split == 'testB':
        return thing.radius <= SMALL_RADIUS or thing.visible < HIDDEN_BELOW
    return True


# Images


@dataclass(frozen=True)
class _Record:
    """What the annotation files say of an image; sentences: by the objects, of ``regions``, that they mean."""

    index: int
    file_name: str
    has_distractor: bool
    regions: list[dict]
    sentences: dict[tuple[int, ...], list[str]]


def _draw_all(request: _Request, folder: Path, jobs: int, progress: bool) -> Iterator[_Record]:
    """Records in the order of the images, however many processes draw them."""
    draw = partial(_draw_one, request, folder)
    every = 0.1 if sys.stderr.isatty() else 10  # seconds; a log file needs no line per image
    show = partial(
        tqdm, total=request.images, desc=request.flavour, unit='image', disable=not progress, mininterval=every
    )
    if jobs == 1:
        yield from show(map(draw, range(request.images)))
        return
    # spawn: forking a process that has threads (torch in the caller) may dead-lock.
    with multiprocessing.get_context('spawn').Pool(jobs) as pool:
        yield from show(pool.imap(draw, range(request.images), chunksize=16))


def _draw_one(request: _Request, folder: Path, index: int) -> _Record:
    """Draw scenes until one has targets that fit the image's split, and write it."""
    rng = np.random.default_rng(np.random.SeedSequence(request.seed, spawn_key=(index,)))
    split = split_of(index, request.images, request.flavour)
    sentences: dict[tuple[int, ...], list[str]] = {}
    while not _is_enough(sentences, request.flavour):
        scene = sample_scene(rng, request.size)
        allowed = [i for i, thing in enumerate(scene.objects) if belongs(thing, split)]
        sentences = _speak(scene.objects, allowed, request.flavour, rng)
    name = f'{index + 1:06d}.jpg'
    # subsampling=0: at this size, JPEG's half-resolution colour would bleed over the edges.
    Image.fromarray(scene.image).save(folder / name, quality=95, subsampling=0)
    regions = [
        {'category_id': SHAPES.index(thing.shape) + 1, **_region(mask)}
        for thing, mask in zip(scene.objects, scene.masks, strict=True)
    ]
    return _Record(index, f'{request.flavour}/{name}', scene.has_distractor, regions, sentences)


def _speak(
    objects: Sequence[SceneObject], allowed: list[int], flavour: str, rng: np.random.Generator
) -> dict[tuple[int, ...], list[str]]:
    """The sentences about a scene, by the objects that they mean; of those that are allowed."""
    if flavour == GENERALIZED:
        return speak_of_targets(objects, allowed, rng)
    return {(i,): sentences for i in allowed if (sentences := speak(i, objects, flavour, rng))}


def _is_enough(sentences: dict[tuple[int, ...], list[str]], flavour: str) -> bool:
    """Whether a scene serves: with one target, or, of the generalised flavour, with several and with none."""
    if flavour == GENERALIZED:
        return () in sentences and any(len(targets) > 1 for targets in sentences)
    return bool(sentences)


def _region(mask: np.ndarray) -> dict:
    """COCO's fields for a mask (H, W) bool; the segmentation decodes to exactly this mask."""
    columns, rows = np.nonzero(mask.any(0))[0], np.nonzero(mask.any(1))[0]
    left, top = int(columns[0]), int(rows[0])
    rle = coco_masks.encode(np.asfortranarray(mask, np.uint8))
    polygon = _polygon(mask)
    return {
        'segmentation': [polygon] if polygon else {'size': list(mask.shape), 'counts': rle['counts'].decode()},
        'area': float(mask.sum()),
        'bbox': [float(left), float(top), float(columns[-1] + 1 - left), float(rows[-1] + 1 - top)],
        'iscrowd': 0,
    }


def _polygon(mask: np.ndarray) -> list[float]:
    """[x, y, ...] along the pixel edges around a region in one piece and without holes, else []."""
    # In the doubled mask, contour points lie on either side of the pixel edges: halving them,
    # rounded up, gives the edges.
    doubled = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if len(contours) != 1:
        return []
    points = (contours[0][:, 0].astype(int) + 1) // 2
    points = points[np.any(points != np.roll(points, 1, 0), 1)]
    corner = np.any(points - np.roll(points, 1, 0) != np.roll(points, -1, 0) - points, 1)
    outline = points[corner].astype(float).ravel().tolist()
    # A region that touches itself at a pixel corner has one contour, yet does not decode to itself.
    decoded = coco_masks.decode(coco_masks.frPyObjects([outline], *mask.shape))[..., 0]
    return outline if np.array_equal(decoded, mask) else []


# Annotations


def _write_annotations(request: _Request, records: list[_Record], folder: Path) -> dict:
    instances, refs = _instances(request, records), _refs(request, records)
    summary = _summarise(request, records, refs)
    folder.mkdir()
    (folder / 'instances.json').write_text(json.dumps(instances))
    split_by = SPLIT_BY[request.flavour]
    if request.flavour == GENERALIZED:
        (folder / f'grefs({split_by}).json').write_text(json.dumps(refs))
    else:
        (folder / f'refs({split_by}).p').write_bytes(pickle.dumps(refs, protocol=4))
    (folder / 'summary.json').write_text(json.dumps(summary, indent=1))
    return summary


def _instances(request: _Request, records: list[_Record]) -> dict:
    images: list[dict] = []
    annotations: list[dict] = []
    for record in records:
        image_id = record.index + 1
        images.append(
            {
                'id': image_id,
                'file_name': record.file_name,
                'height': request.size,
                'width': request.size,
            }
        )
        for region in record.regions:
            annotations.append({'id': len(annotations) + 1, 'image_id': image_id, **region})
    categories = [
        {'id': i, 'name': shape, 'supercategory': 'round' if shape in ROUND_SHAPES else 'other'}
        for i, shape in enumerate(SHAPES, 1)
    ]
    info = {'description': 'RefShapes, drawn by mgfe_ris', **asdict(request)}
    return {
        'info': info,
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': categories,
    }


def _refs(request: _Request, records: list[_Record]) -> list[dict]:
    refs: list[dict] = []
    first = sent_id = 0  # the image's first annotation is first + 1
    for record in records:
        for targets, sentences in record.sentences.items():
            numbered = list(enumerate(sentences, sent_id))
            sent_id += len(sentences)
            ann_ids = [first + 1 + i for i in targets]
            categories = [record.regions[i]['category_id'] for i in targets]
            several = request.flavour == GENERALIZED
            ref = {
                'sent_ids': [i for i, _ in numbered],
                'file_name': record.file_name,
                'ann_id': (ann_ids or [-1]) if several else ann_ids[0],
                'ref_id': len(refs),
                'image_id': record.index + 1,
                'split': split_of(record.index, request.images, request.flavour),
                'sentences': [
                    {'tokens': sent.split(), 'raw': sent, 'sent_id': i, 'sent': sent} for i, sent in numbered
                ],
                'category_id': (categories or [-1]) if several else categories[0],
            }
            refs.append({**ref, 'no_target': not targets} if several else ref)
        first += len(record.regions)
    return refs


def _kinds(ref: dict) -> list[str]:
    """What kind each sentence of a ref is of."""
    if 'no_target' in ref:
        kind = 'none' if ref['no_target'] else 'one' if len(ref['ann_id']) == 1 else 'several'
        return [kind] * len(ref['sentences'])
    return [parse(sentence['sent']).kind for sentence in ref['sentences']]


def _summarise(request: _Request, records: list[_Record], refs: list[dict]) -> dict:
    splits = {}
    for split in split_names(request.flavour):
        here = [r for r in records if split_of(r.index, request.images, request.flavour) == split]
        mine = [ref for ref in refs if ref['split'] == split]
        said = [sentence['sent'] for ref in mine for sentence in ref['sentences']]
        kinds = [kind for ref in mine for kind in _kinds(ref)]
        splits[split] = {
            'images': len(here),
            'objects': sum(len(record.regions) for record in here),
            'refs': len(mine),
            'sentences': len(said),
            'words per sentence': round(sum(len(sent.split()) for sent in said) / len(said), 2),
            'kinds': {kind: round(kinds.count(kind) / len(kinds), 3) for kind in sorted(set(kinds))},
        }
    return {
        'parameters': asdict(request),
        'annotations': request.flavour,
        'images': f'images/{request.flavour}',
        'distractor share': round(sum(r.has_distractor for r in records) / len(records), 3),
        'splits': splits,
    }
