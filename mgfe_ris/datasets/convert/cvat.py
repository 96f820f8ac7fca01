"""CVAT: the XML file that it exports as "CVAT for images 1.1"."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..masks import Part
from .objects import Object, Photos, Shape, objects_of, sentences_of
from .outlines import MOST_POINTS, check_crop, crop_rle, ellipse, from_rows, polygon, rectangle

_BYTES, _DEEPEST = 1 << 20, 50


def read_cvat(
    source: str | Path, photos: Photos, skipped: Counter, sentence_from: str | None = None
) -> Iterator[Object]:
    """Polygons, masks, boxes and ellipses; shapes of one ``group_id`` of a photo are one object.

    Args:
        source: the file, or a folder with ``annotations.xml``.
        photos: of which the file speaks.
        skipped: counts what is left out.
        sentence_from: name of the attribute with the sentence, default ``caption``; or ``label``.

    Raises:
        FileNotFoundError: no such file, or a photo that is missing.
        ValueError: a file of another form, or a wrong shape; both are named.
    """
    path = Path(source, 'annotations.xml') if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    for image in _images(path):
        where = f'{path}, image {image.get("name", "")!r}'
        try:
            said = int(image.attrib['height']), int(image.attrib['width'])
            name = image.attrib['name']
        except (KeyError, ValueError) as error:
            raise ValueError(f'{where}: an image needs name, width and height ({error})') from error
        photo, size = photos.check(name, said, where)
        yield from objects_of(_shapes(image, size, sentence_from or 'caption', where, skipped), photo, size, skipped)


class _Refused(Exception):
    """What the file is, that it must not be."""


class _Builder(ET.TreeBuilder):
    """Collects images, of a file that declares no entities: these may grow without end, or read other files."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[ET.Element] = []
        self.begun = False
        self.depth = 0

    def doctype(self, *_: object) -> None:
        raise _Refused('it has a DTD, which no export of CVAT has')

    def start(self, tag: str, attrs: dict[str, str]) -> ET.Element:  # type: ignore[override]
        if not self.begun and tag != 'annotations':
            raise _Refused(f'expected <annotations>, as CVAT exports them; got <{tag}>')
        if tag == 'track':
            raise _Refused('it is of a video; export it as "CVAT for images 1.1"')
        self.begun = True
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _Refused(f'more than {_DEEPEST} elements inside one another')
        return super().start(tag, attrs)

    def end(self, tag: str) -> ET.Element:
        self.depth -= 1
        element = super().end(tag)
        if tag == 'image':
            self.images.append(element)
        return element


def _images(path: Path) -> Iterator[ET.Element]:
    """In little memory: what was read of an image goes."""
    builder = _Builder()
    parser = ET.XMLParser(target=builder)
    try:
        with open(path, 'rb') as file:
            while data := file.read(_BYTES):
                parser.feed(data)
                for image in builder.images:
                    yield image
                    image.clear()
                builder.images.clear()
        parser.close()
    except ET.ParseError as error:
        raise ValueError(f'{path}: not XML ({error})') from error
    except _Refused as error:
        raise ValueError(f'{path}: {error}') from error


def _shapes(
    image: ET.Element, size: tuple[int, int], sentence_from: str, place: str, skipped: Counter
) -> Iterator[Shape]:
    for number, shape in enumerate(image, 1):
        where = f'{place}, shape {number} ({shape.tag} {shape.get("label", "")!r})'
        if shape.tag not in _PARTS:
            skipped[f'shapes of type {shape.tag[:30]}'] += 1
            continue
        try:
            part = _PARTS[shape.tag](shape, size)
        except (KeyError, ValueError) as error:
            reason = f'it lacks {error}' if isinstance(error, KeyError) else error
            raise ValueError(f'{where}: {reason}') from error
        if sentence_from == 'label':
            said = shape.get('label')
        else:
            said = next((a.text for a in shape.iter('attribute') if a.get('name') == sentence_from), None)
        group = shape.get('group_id')
        yield Shape(None if group in (None, '', '0') else group, [part], sentences_of(said, where), where)


def _polygon(shape: ET.Element, size: tuple[int, int]) -> Part:
    if (number := shape.attrib['points'].count(';')) > MOST_POINTS:
        raise ValueError(f'a polygon of {number} points; at most {MOST_POINTS} are read')
    return polygon([[float(x) for x in point.split(',')] for point in shape.attrib['points'].split(';') if point])


def _box(shape: ET.Element, size: tuple[int, int]) -> Part:
    x0, y0, x1, y1 = (float(shape.attrib[key]) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
    return rectangle(x0, y0, x1, y1, float(shape.get('rotation', 0)))


def _ellipse(shape: ET.Element, size: tuple[int, int]) -> Part:
    if float(shape.get('rotation', 0)):
        raise ValueError('an ellipse that is turned; draw it as a polygon')
    return ellipse(*(float(shape.attrib[key]) for key in ('cx', 'cy', 'rx', 'ry')))


def _mask(shape: ET.Element, size: tuple[int, int]) -> Part:
    left, top, width, height = (int(float(shape.attrib[key])) for key in ('left', 'top', 'width', 'height'))
    check_crop(left, top, width, height, size)
    counts = [int(count) for count in shape.attrib['rle'].split(',')]
    return crop_rle(from_rows(counts, height, width), left, top, size)


_PARTS = {'polygon': _polygon, 'box': _box, 'ellipse': _ellipse, 'mask': _mask}
