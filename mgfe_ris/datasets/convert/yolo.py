"""YOLO: a text file for each photo, a line for each object: its class and a polygon, in fractions of the photo."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ...one_line import one_line
from .objects import Object, Photos, Shape, objects_of
from .outlines import polygon

_LONGEST_LINE = 4_000_000
_LARGEST_YAML, _MOST_BRACKETS = 60_000, 300
"""YAML is read in Python, slowly, and the more so with brackets inside of one another."""


def read_yolo(
    source: str | Path, photos: Photos, skipped: Counter, sentence_from: str | None = None
) -> Iterator[Object]:
    """The sentence is the name of the class: YOLO has no other words.

    Args:
        source: a folder with ``data.yaml`` or ``classes.txt``, and with the text files in ``labels/``, or in it.
        photos: of which the files speak, by their names.
        skipped: counts what is left out: boxes, for one, which have no outline.
        sentence_from: ``class``, or None.

    Raises:
        FileNotFoundError: no such folder, no names of classes, no text file, or a photo that is missing.
        ValueError: a wrong line; file and line are named.
    """
    if sentence_from not in (None, 'class'):
        raise ValueError(f'--sentence-from of YOLO is class: its files have no other words; got {sentence_from!r}')
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(f'{source}: no such folder, with data.yaml or classes.txt, and labels/')
    names, labels = _class_names(folder), folder / 'labels' if (folder / 'labels').is_dir() else folder
    files = [file for file in sorted(labels.rglob('*.txt')) if file.name != 'classes.txt']
    if not files:
        raise FileNotFoundError(f'{labels}: no .txt of a photo')
    for file in files:
        photo, size = photos.find(str(file.relative_to(labels).with_suffix('')), str(file))
        yield from objects_of(_shapes(file, names, size, skipped), photo, size, skipped)


def _class_names(folder: Path) -> dict[int, str]:
    for path in (*sorted(folder.glob('*.yaml')), *sorted(folder.glob('*.yml'))):
        if path.stat().st_size > _LARGEST_YAML:
            raise ValueError(f'{path}: more than {_LARGEST_YAML:,} bytes; name the classes in classes.txt')
        text = _text(path)
        if text.count('[') + text.count('{') > _MOST_BRACKETS:
            raise ValueError(f'{path}: more than {_MOST_BRACKETS} brackets; name the classes in classes.txt')
        try:
            # text as it stands: a class may be called no, off or 1.10
            names = (yaml.load(text, yaml.BaseLoader) or {}).get('names') or {}
            if isinstance(names, str):
                raise ValueError(f'names is no list; got {names[:60]!r}')
            names = {int(key): name for key, name in (names.items() if isinstance(names, dict) else enumerate(names))}
        except (AttributeError, RecursionError, TypeError, ValueError, yaml.YAMLError) as error:
            reason = one_line(error, 100)
            raise ValueError(f'{path}: no YAML with names of classes ({reason})') from error
        if not all(isinstance(name, str) for name in names.values()):
            raise ValueError(f'{path}: the names of classes must be text')
        if names:
            return names
    for path in (folder / 'classes.txt', folder / 'labels' / 'classes.txt'):
        if path.is_file():
            return dict(enumerate(line.strip() for line in _text(path).splitlines()))
    raise FileNotFoundError(f'{folder}: neither a .yaml with names nor classes.txt, which name the classes')


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not a text in UTF-8 ({error})') from error


def _shapes(file: Path, names: dict[int, str], size: tuple[int, int], skipped: Counter) -> Iterator[Shape]:
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        where = f'{file}, line {number}'
        if len(line) > _LONGEST_LINE:
            raise ValueError(f'{where}: {len(line)} letters; at most {_LONGEST_LINE} are read')
        try:
            kind, *values = (float(word) for word in line.split())
        except ValueError as error:
            raise ValueError(f'{where}: expected numbers, the class and x y x y ...; got {line[:60]!r}') from error
        if kind not in names:
            raise ValueError(f'{where}: class {kind:g} has no name; there are {len(names)}')
        if len(values) in (4, 5):  # the fifth: how sure a model was
            skipped['boxes, which have no outline'] += 1
            continue
        yield Shape(None, [_outline(values, size, where)], [names[int(kind)]], where)


def _outline(values: list[float], size: tuple[int, int], where: str) -> Any:
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f'{where}: a polygon needs x and y of three points or more; got {len(values)} numbers')
    if not all(-0.01 <= value <= 1.01 for value in values):
        raise ValueError(
            f'{where}: x and y are fractions of the photo, from 0 to 1; got {min(values)} to {max(values)}'
        )
    height, width = size
    return polygon([[x * width, y * height] for x, y in zip(values[::2], values[1::2], strict=True)])
