"""What to segment: photos and sentences, from files."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from ...download import is_address
from .inferencer import check_sentences
from .photos import decode_photo, open_photo

SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
LISTS = ('.csv', '.tsv', '.jsonl')
RESULTS, SETTINGS = 'results.jsonl', 'settings.json'
"""By which results of ours are told from photos."""
COLUMNS = {
    'photo': ('photo', 'image', 'file_name', 'filename', 'image_path'),
    'text': ('text', 'sentence', 'sentences', 'expression', 'caption'),
}
"""Names of the columns of a list, in any case; of several, the first."""


@dataclass(frozen=True)
class Job:
    """A photo, sentences about it, each once, and what its files are to be called, without suffix."""

    photo: str
    sentences: tuple[str, ...]
    name: str


def read_jobs(
    source: str | Path | Sequence[str | Path], sentences: Sequence[str] = (), private_addresses: bool = False
) -> list[Job]:
    """What to segment, checked as far as that goes without opening all the photos; one alone is decoded.

    Args:
        source: a photo; its ``http(s)`` address; a folder of photos, with those in its folders; a ``.csv``, ``.tsv``
            or ``.jsonl`` with a ``photo`` (relative to that file, if not absolute) and a ``text`` in each line; in JSON
            a list of them, too; or several of these. Columns may have other names, see :data:`COLUMNS`, and be parted
            by semicolons or tabs; a csv without a header has photo and text.
        sentences: about every photo; none for files, which bring theirs.
        private_addresses: see :func:`open_photo`.

    Returns:
        a job for each photo, once, named by its whole path, or address.

    Raises:
        FileNotFoundError: no such source, or no photo in the folder.
        ValueError: not a photo, no or wrong sentences, or a line of a file that is wrong: it is named.
    """
    sources = [source] if isinstance(source, (str, Path)) else list(source)
    if not sources:
        raise ValueError('no source; name a photo, its address, a folder, a .csv, .tsv or .jsonl')
    found: dict[str, Job] = {}
    for one in sources:
        for job in _jobs_of(one, sentences, len(sources) == 1, private_addresses):
            before = found.get(job.photo)
            texts = dict.fromkeys([*before.sentences, *job.sentences]) if before else job.sentences
            found[job.photo] = replace(before or job, sentences=tuple(texts))
    return list(found.values())


def _jobs_of(source: str | Path, sentences: Sequence[str], alone: bool, private_addresses: bool) -> list[Job]:
    if not str(source):  # Path('') is the current folder
        raise ValueError('the source is empty; name a photo, its address, a folder, a .csv, .tsv or .jsonl')
    path, name = Path(source), str(source)
    if path.suffix.lower() in LISTS and not (path.is_dir() or is_address(name)):
        if sentences:
            raise ValueError(f'{source} brings its sentences; leave --text away')
        return _read_rows(path)
    if not sentences:
        raise ValueError(f'{source}: no sentence; say which object is meant: --text "the red circle"')
    texts = tuple(dict.fromkeys(check_sentences(list(sentences))))
    if path.is_dir():
        photos = _photos_in(path)
        if not photos:
            raise FileNotFoundError(f'{source}: no photo in this folder; photos are {", ".join(SUFFIXES)}')
        return [Job(os.path.abspath(p), texts, str(p.relative_to(path).parent / _name(str(p)))) for p in photos]
    job = Job(whole_path(name), texts, _name(name))
    # of many, the headers are enough: what is broken after them is listed at the end
    opened = open_photo(name, private_addresses=private_addresses) if alone or not is_address(name) else None
    if alone and isinstance(opened, Path):
        decode_photo(opened.read_bytes(), name)
    return [job]


def _photos_in(folder: Path) -> list[Path]:
    """Not what is hidden, as some systems and programs leave beside photos, nor results of ours."""
    photos = []
    for place, folders, files in os.walk(folder, onerror=_raise):
        if RESULTS in files and SETTINGS in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith('.')]
        paths = [Path(place, name) for name in files if not name.startswith('.')]
        photos += [path for path in paths if path.suffix.lower() in SUFFIXES]
    return sorted(photos)


def _raise(error: OSError) -> NoReturn:
    raise error


def whole_path(photo: str, folder: str | Path = '') -> str:
    """The same for the same photo, wherever the command is run; a name that Windows wrote is read, too.

    Args:
        photo: path, or address, which stays as it is.
        folder: where a path that is not absolute begins; default: the current one.
    """
    if is_address(photo):
        return photo
    turned = Path(folder, photo.replace('\\', '/'))
    return os.path.abspath(turned if turned.is_file() and not Path(folder, photo).is_file() else Path(folder, photo))


def _name(photo: str) -> str:
    """Without suffix; no longer than file systems allow a name to be, with what we append."""
    try:
        stem = Path(urlsplit(photo).path if is_address(photo) else photo).stem
    except ValueError as error:
        raise ValueError(f'{photo}: no address ({error})') from error
    return stem.encode(errors='surrogateescape')[:200].decode(errors='ignore') or 'photo'


def _read_rows(path: Path) -> list[Job]:
    """Lines about one photo are one job, which shares what does not depend on the sentence."""
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    names: dict[str, str] = {}
    texts: dict[str, dict[str, None]] = {}
    for number, row in _rows_of(path):
        try:
            photo, sentences = _check_row(row)
            whole = whole_path(photo, path.parent)
            names[whole] = _name(whole)
        except ValueError as error:
            raise ValueError(f'{path}, line {number}: {error}') from error
        texts.setdefault(whole, {}).update(dict.fromkeys(sentences))
    if not texts:
        raise ValueError(f'{path}: no line with a photo and a text')
    return [Job(photo, tuple(texts[photo]), name) for photo, name in names.items()]


def _check_row(row: Any) -> tuple[str, list[str]]:
    columns = list(row) if isinstance(row, dict) else []
    names = columns_of(columns)
    if not names:
        raise ValueError(f'expected photo and text, got {columns or row!r}')
    photo, text = (row[name] for name in names)
    if None in columns:  # as csv calls what is after the last column
        raise ValueError('more cells than columns; a text with a comma needs quotes: "the dog, left"')
    if not isinstance(photo, str) or not photo.strip():
        raise ValueError('the photo is empty')
    if not isinstance(text, (str, list)):
        raise ValueError('the text is missing')
    return photo, check_sentences(text)


def columns_of(columns: Sequence[Any]) -> list[Any]:
    """Those of photo and text, by :data:`COLUMNS`; empty if one is missing."""
    known = {str(column).strip().lower(): column for column in reversed(columns)}
    found = [next((known[name] for name in names if name in known), None) for names in COLUMNS.values()]
    return [] if None in found else found


def _rows_of(path: Path) -> Iterator[tuple[int, Any]]:
    """With the number of the line that each ends in."""
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            if path.suffix.lower() != '.jsonl':
                delimiters = '\t,;' if path.suffix.lower() == '.tsv' else ',;\t'
                reader = _csv_reader(file.read(), path.parent, delimiters)
                for row in reader:
                    yield reader.line_num, row
            else:
                yield from ((i, _parse(line, path, i)) for i, line in enumerate(file, 1) if line.strip())
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not a text in UTF-8 ({error})') from error
    except csv.Error as error:
        raise ValueError(f'{path}, line {reader.reader.line_num}: no CSV ({error})') from error


def _csv_reader(text: str, folder: Path, delimiters: str) -> csv.DictReader:
    """By the delimiter by which its first line names photo and text, or has a photo, there or not, and a text."""
    form: dict = dict(skipinitialspace=True, strict=True)
    for delimiter in delimiters:
        rows = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, skipinitialspace=True)
        try:
            first = next(filter(None, rows), [])
        except csv.Error:  # it comes again below, where its line is named
            continue
        headless = len(first) > 1 and _is_photo(first[0], folder)
        if headless or columns_of(first):
            names = list(COLUMNS) if headless else None
            return csv.DictReader(io.StringIO(text, newline=''), names, delimiter=delimiter, **form)
    return csv.DictReader(io.StringIO(text, newline=''), delimiter=delimiters[0], **form)


def _is_photo(cell: str, folder: Path) -> bool:
    """Or would be one: a photo that is missing is listed as such with those that are broken."""
    return is_address(cell) or cell.strip().lower().endswith(SUFFIXES) or Path(whole_path(cell, folder)).is_file()


def _parse(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (RecursionError, ValueError) as error:
        raise ValueError(f'{path}, line {number}: no JSON ({error})') from error
