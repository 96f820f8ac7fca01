"""COCO's instances, with sentences in the annotations."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..fields import whole_number
from ..masks import check_parts, mask_parts
from .objects import SHORT_OUTLINES, Object, Photos, Shape, objects_of, sentences_of

KEYS = ('captions', 'caption', 'sentences', 'sentence', 'expressions', 'expression', 'description', 'text')
"""Of an annotation, or of its ``attributes``, where CVAT puts them; the first that is there holds."""


def read_coco(
    source: str | Path, photos: Photos, skipped: Counter, sentence_from: str | None = None
) -> Iterator[Object]:
    """Polygons and run length encodings, compressed or not.

    Args:
        source: the JSON file.
        photos: of which the file speaks.
        skipped: counts what is left out.
        sentence_from: the key of an annotation, or of its ``attributes``, with the sentence; ``category``: the name of
            the category. Default: the first of :data:`KEYS`.

    Raises:
        FileNotFoundError: no such file, or a photo that is missing.
        ValueError: a file of another form, or a wrong annotation; both are named. Captions of whole photos.
    """
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f'{source}: ' + ('a folder; name the JSON file' if path.is_dir() else 'no such file'))
    content = _content(path)
    images, names = _by_id(path, content, 'images'), _by_id(path, content, 'categories')
    annotations: dict[Any, list[tuple[dict, str]]] = defaultdict(list)
    for number, annotation in enumerate(content['annotations'], 1):
        where = f'{path}, annotation {number}'
        if not isinstance(annotation, dict) or (image_id := _id(annotation.get('image_id'))) not in images:
            raise ValueError(f'{where}: its image_id is of no image of the file; got {str(annotation)[:60]}')
        annotations[image_id].append((annotation, where))
    for image_id, of_image in annotations.items():
        image, where = images[image_id], f'{path}, image {image_id}'
        if not isinstance(image.get('file_name'), str):
            raise ValueError(f'{where}: it has no file_name')
        photo, size = photos.check(image['file_name'], (image.get('height'), image.get('width')), where)
        shapes = _shapes(of_image, size, sentence_from, names, skipped)
        yield from objects_of(shapes, photo, size, skipped)


def _content(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: not JSON ({error})') from error
    lists = ('images', 'annotations')
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in lists):
        raise ValueError(f"{path}: expected COCO's form, lists images and annotations")
    found = [annotation for annotation in content['annotations'] if isinstance(annotation, dict)]
    if found and not any('segmentation' in annotation for annotation in found):
        what = 'captions of whole photos' if any('caption' in annotation for annotation in found) else 'boxes, or less'
        raise ValueError(
            f'{path}: no annotation has a segmentation: it holds {what}. A sentence here means one object, whose mask '
            'is to be found'
        )
    return content


def _by_id(path: Path, content: dict, key: str) -> dict[Any, dict]:
    items = content.get(key) or []
    if not isinstance(items, list):
        raise ValueError(f'{path}: {key} is no list')
    found = {_id(item.get('id')): item for item in items if isinstance(item, dict)}
    if len(found) != len(items) or None in found:
        raise ValueError(f'{path}: {key} without an id, or two with one')
    return found


def _id(value: Any) -> int | str | None:
    """The same for 7, 7.0 and '7', which programs on the way make of one another; None: it is none."""
    try:
        return whole_number(value, 'id')
    except ValueError:
        return value if isinstance(value, str) else None


def _shapes(
    annotations: list[tuple[dict, str]],
    size: tuple[int, int],
    sentence_from: str | None,
    names: dict[Any, dict],
    skipped: Counter,
) -> Iterator[Shape]:
    for annotation, where in annotations:
        segmentation = annotation.get('segmentation')
        if not segmentation:
            skipped['annotations without a mask'] += 1
            continue
        try:
            drawn = mask_parts(segmentation)
            parts = [part for part in drawn if not isinstance(part, list) or len(part) >= 6]
            check_parts(parts, *size)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        if len(parts) < len(drawn):
            skipped[SHORT_OUTLINES] += len(drawn) - len(parts)
        if sentence_from == 'category':
            said = names.get(_id(annotation.get('category_id')), {}).get('name')
        else:
            said = _said(annotation, (sentence_from,) if sentence_from else KEYS)
        yield Shape(None, parts, sentences_of(said, where), where)


def _said(annotation: dict, keys: tuple[str, ...]) -> Any:
    attributes = annotation.get('attributes')
    places = [annotation, attributes if isinstance(attributes, dict) else {}]
    return next((place[key] for place in places for key in keys if place.get(key)), None)
