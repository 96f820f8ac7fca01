"""Downloads of RefCOCO and its kin, in whatever nesting -> the layout that configs expect; and is it whole?

Sources are zips and folders from anywhere. Where a file is written never depends on a name inside of a zip: photos go
to ``images/<file_name of instances.json>``, annotations to ``<data set>/<file>``.
"""

import filecmp
import hashlib
import json
import lzma
import multiprocessing
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from PIL import Image
from tqdm import tqdm

from .known_facts import KNOWN, KNOWN_TOTALS, SHARED_PHOTOS, SplitFacts
from .masks import check_parts
from .plain_pickle import load_plain_pickle
from .readers import check_name, read_refer
from .referring import photo_size

MAX_BYTES = {'photo': 2**25, 'annotations': 2**31, 'zip': 2**36}
MAX_RATIO = 100  # unpacked to packed; annotations reach 10, photos 1.1
MAX_DEPTH = 3
PHOTOS_PER_PROCESS = 1000  # a process takes seconds to start
SHOWN = 20

_REFS = re.compile(r'g?refs\((\w+)\)\.(?:p|json)')
_COCO_PHOTO = re.compile(r'(?:COCO_(?:train|val|test)\d{4}_)?(\d{12})\.jpe?g', re.IGNORECASE)
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, ValueError)
_NAMES = {
    'refcoco': 'refcoco',
    'refcoco+': 'refcoco+',
    'refcocoplus': 'refcoco+',
    'refcocop': 'refcoco+',
    'refcocog': 'refcocog',
    'gref': 'refcocog',
    'refclef': 'refclef',
    'referit': 'refclef',
    'referitgame': 'refclef',
    'grefcoco': 'grefcoco',
}


class Found(NamedTuple):
    """A file of a source."""

    path: Path
    """On disk: the file, or the zip that it is a member of."""
    member: zipfile.ZipInfo | None
    names: tuple[str, ...]
    """Of the folders and zips that it lies in, from the source on, and its own."""

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f'{self.path}, {self.member.filename}'


class Findings:
    """What is wrong, by kind, and what is worth knowing."""

    def __init__(self) -> None:
        self.problems: dict[str, list[str]] = defaultdict(list)
        self.notes: list[str] = []

    def add(self, kind: str, what: str) -> None:
        self.problems[kind].append(what)

    def report(self) -> dict[str, dict]:
        return {kind: {'total': len(all_), 'first': all_[:SHOWN]} for kind, all_ in sorted(self.problems.items())}


class Split(NamedTuple):
    """What is counted of a split."""

    images: set[str]
    objects: list[int]
    """Ids of refs."""
    sentences: list[int]

    def counts(self) -> dict[str, int]:
        return {'images': len(self.images), 'objects': len(self.objects), 'sentences': len(self.sentences)}


class Survey(NamedTuple):
    """Annotations that were read."""

    name: str
    split_by: str
    splits: dict[str, Split]
    photos: dict[str, tuple[int, int]]


def prepare(
    sources: Sequence[Path],
    out: Path,
    check: bool = False,
    subset: bool = False,
    fast: bool = False,
    jobs: int = 1,
    progress: bool = True,
) -> dict:
    """Lay out, unless only to be checked, and verify.

    Args:
        sources: zips, folders, single files.
        out: data root; ``images`` and a folder per data set are made in it.
        check: look at what lies in ``out`` and change nothing.
        subset: counts that differ from the published ones are no fault.
        fast: read only the headers of photos.
        jobs: processes that decode photos.
        progress: show progress bars.

    Returns:
        The report: ``ok``, ``datasets`` (counts, expected counts and verdicts), ``photos`` (counts), ``problems``
        (by kind: total and the first ones) and ``notes``.

    Raises:
        FileNotFoundError: a source, or the folder to check, is missing.
        ValueError: a source is neither folder, zip nor a file of a data set; not enough space.
    """
    findings = Findings()
    if check:
        if not out.is_dir():
            raise FileNotFoundError(f'{out}: no such folder. Name the one to check with --out')
        surveys = list(_read_all(out, findings))
    else:
        surveys = _lay_out(sources, out, findings, progress)
    if not surveys:
        findings.add('annotations', f'{out}: no refs(...).p or .json that could be read, in a folder of a data set')
    datasets: dict[str, dict] = {}
    for survey in surveys:
        datasets.setdefault(survey.name, {})[survey.split_by] = _judged(survey, subset, findings)
        _look_for_shared_photos(survey, findings)
    _look_across(surveys, findings)
    photos = {name: size for survey in surveys for name, size in survey.photos.items()}
    missing = _check_photos(out / 'images', photos, fast, jobs, progress, findings)
    return {
        'ok': not findings.problems,
        'out': str(out),
        'datasets': datasets,
        'photos': {'needed': len(photos), 'present': len(photos) - missing},
        'problems': findings.report(),
        'notes': findings.notes,
    }


# What the sources hold


def _find(sources: Sequence[Path], unpacked: Path, findings: Findings) -> list[Found]:
    found: list[Found] = []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f'{source}: no such file or folder')
        seen: set[Path] = {unpacked.resolve()}
        before = len(found)
        names = (*_useful(source.resolve().parent.name), source.resolve().name)
        found += _walk(source, names, seen, unpacked, findings)
        if not source.is_dir() and len(found) == before and not findings.problems:
            raise ValueError(
                f'{source}: nothing of a data set in it: no refs(...).p or .json, instances.json or photos. '
                'Other archives than zip must be unpacked first'
            )
    return found


def _useful(folder: str) -> list[str]:
    """The name of the folder around a source, where it tells the data set."""
    return [folder] if _alias(folder) else []


def _walk(path: Path, names: tuple[str, ...], seen: set[Path], unpacked: Path, findings: Findings) -> Iterator[Found]:
    if path.is_dir():
        if path.resolve() in seen:  # a link to a folder above
            return
        seen.add(path.resolve())
        for child in sorted(path.iterdir()):
            if not _is_junk(child.name):
                yield from _walk(child, (*names, child.name), seen, unpacked, findings)
    elif path.suffix.lower() == '.zip' and path.is_file():
        yield from _members(path, names, unpacked, findings, depth=1)
    elif _kind(path.name) and path.is_file():
        yield Found(path, None, names)


def _members(path: Path, names: tuple[str, ...], unpacked: Path, findings: Findings, depth: int) -> Iterator[Found]:
    try:
        archive = zipfile.ZipFile(path)
    except (*_BROKEN_ZIP, OSError) as error:
        findings.add('broken zips', f'{path}: {error}')
        return
    with archive:
        for info in archive.infolist():
            found = Found(path, info, (*names, *PurePosixPath(info.filename.replace('\\', '/')).parts))
            try:
                check_name(info.orig_filename)
                check_name(info.filename)
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise ValueError('a link')
            except ValueError as error:
                findings.add('refused members', f'{found}: {error}')
                continue
            if info.is_dir() or any(map(_is_junk, found.names[len(names) :])):
                continue
            if _kind(found.names[-1]):
                yield found
            elif found.names[-1].lower().endswith('.zip'):
                if depth == MAX_DEPTH:
                    findings.add('refused members', f'{found}: a zip in a zip, {depth} deep')
                    continue
                inner = unpacked / f'{_digest(found)}.zip'
                if _extract(archive, found, inner, 'zip', findings):
                    yield from _members(inner, found.names, unpacked, findings, depth + 1)


def _kind(name: str) -> str | None:
    if _REFS.fullmatch(name) or name == 'instances.json':
        return 'annotations'
    return 'photo' if name.lower().endswith(('.jpg', '.jpeg')) else None


def _is_junk(name: str) -> bool:
    return name.startswith('.') or name == '__MACOSX'


def _digest(found: Found) -> str:
    info = found.member
    assert info is not None
    whence = (str(found.path.resolve()), info.filename, info.CRC, info.file_size)
    return hashlib.sha256(repr(whence).encode()).hexdigest()[:24]


def _extract(archive: zipfile.ZipFile, found: Found, target: Path, kind: str, findings: Findings) -> bool:
    """Under another name first: what has its name is whole."""
    info = found.member
    assert info is not None
    if target.is_file() and target.stat().st_size == info.file_size:
        return True
    part = target.with_name(f'.{target.name}.part')
    try:
        if info.file_size > MAX_BYTES[kind]:
            raise ValueError(f'{info.file_size} bytes, more than {MAX_BYTES[kind]}')
        if info.file_size > 2**20 and info.file_size > MAX_RATIO * info.compress_size:
            raise ValueError(f'{info.file_size} bytes out of {info.compress_size}, more than {MAX_RATIO} times')
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_space(target.parent, info.file_size)
        with archive.open(info) as packed, open(part, 'wb') as file:
            shutil.copyfileobj(packed, file, 2**20)  # never more than file_size, and the checksum is compared
            if file.tell() != info.file_size:
                raise ValueError('it ends early')
        os.replace(part, target)
    except _NoSpaceError:
        raise
    except _BROKEN_ZIP as error:
        findings.add('refused members', f'{found}: {error}')
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


class _NoSpaceError(ValueError):
    pass


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _NoSpaceError(f'{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free')


# Layout


def _lay_out(sources: Sequence[Path], out: Path, findings: Findings, progress: bool) -> list[Survey]:
    unpacked = out / '.unpacked'  # kept when interrupted
    found = _find(sources, unpacked, findings)
    out.mkdir(parents=True, exist_ok=True)
    _lay_annotations([f for f in found if _kind(f.names[-1]) == 'annotations'], out, unpacked, findings)
    surveys = list(_read_all(out, findings))
    needed = sorted({name for survey in surveys for name in survey.photos})
    _lay_photos([f for f in found if _kind(f.names[-1]) == 'photo'], needed, out, findings, progress)
    shutil.rmtree(unpacked, ignore_errors=True)
    return surveys


def _lay_annotations(found: list[Found], out: Path, unpacked: Path, findings: Findings) -> None:
    folders: dict[tuple, list[Found]] = defaultdict(list)
    for file in found:
        folders[file.path if file.member else file.path.parent, file.names[:-1]].append(file)
    for files in folders.values():
        here = {file.names[-1]: file for file in files}
        refs = [file for name, file in here.items() if name != 'instances.json']
        if not refs:
            continue
        if 'instances.json' not in here:
            findings.add('annotations', f'{refs[0]}: no instances.json beside it')
            continue
        paths = {name: _on_disk(file, unpacked, findings) for name, file in here.items()}
        if None in paths.values():
            continue
        name = next(filter(None, map(_alias, reversed(refs[0].names[:-1]))), None)
        if name is None:
            name = _name_by_counts([p for n, p in paths.items() if p and n != 'instances.json'])
        if name is None:
            name = PurePosixPath(refs[0].names[-2]).with_suffix('').name
            findings.notes.append(f'{refs[0]}: of no data set that is known by name or counts; taken for {name!r}')
        if name == 'images' or _is_junk(name) or (out / name).is_symlink():
            findings.add('annotations', f'{refs[0]}: {out / name} cannot take it. Put it into a folder of its own')
            continue
        for file_name, path in paths.items():
            assert path is not None
            _place(path, out / name / file_name, here[file_name].member is not None, findings)


def _on_disk(file: Found, unpacked: Path, findings: Findings) -> Path | None:
    if file.member is None:
        return file.path.resolve()
    target = unpacked / f'{_digest(file)}-{file.names[-1]}'
    with zipfile.ZipFile(file.path) as archive:
        return target if _extract(archive, file, target, 'annotations', findings) else None


def _alias(name: str) -> str | None:
    """refcoco+ (1).zip, refcoco_plus -> refcoco+"""
    plain = re.sub(r'(\.zip)?[ _-]*(\(\d+\))?$', '', name.lower().removesuffix('.zip'))
    return _NAMES.get(re.sub(r'[ _-]', '', plain))


def _name_by_counts(refs: list[Path]) -> str | None:
    for path in refs:
        try:
            content: Any = load_plain_pickle(path) if path.suffix == '.p' else json.loads(path.read_bytes())
            counts = Counter(ref['split'] for ref in content)
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if 'grefs(' in path.name:
            return 'grefcoco'
        for (name, _), splits in KNOWN.items():
            if counts == {split: facts.objects for split, facts in splits.items()}:
                return name
    return None


def _place(path: Path, target: Path, move: bool, findings: Findings) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        if not filecmp.cmp(path, target, shallow=False):
            findings.notes.append(f'{target} is kept; {path} has other contents')
    elif move:
        os.replace(path, target)
    else:
        _link(path, target)


def _link(path: Path, target: Path) -> None:
    """A symbolic link; where there are none, a hard link or a copy."""
    part = target.with_name(f'.{target.name}.part')
    part.unlink(missing_ok=True)
    try:
        part.symlink_to(path)
    except OSError:
        try:
            os.link(path, part)
        except OSError:
            _require_space(target.parent, path.stat().st_size)
            shutil.copyfile(path, part)
    os.replace(part, target)


def _lay_photos(found: list[Found], needed: list[str], out: Path, findings: Findings, progress: bool) -> None:
    folder = out / 'images'
    by_name: dict[str, list[Found]] = defaultdict(list)
    for file in found:
        by_name[_photo_key(file.names[-1])].append(file)
    chosen = {}
    for name in needed:
        there = folder / name
        candidates = by_name[_photo_key(name)]
        if candidates and not _is_whole(there, candidates):
            chosen[name] = max(candidates, key=partial(_likeness, name))
    if not chosen:
        return
    if len(chosen) == len(needed) and not folder.exists() and (whole := _common_folder(chosen)):
        if folder.is_symlink():
            folder.unlink()
        try:
            folder.symlink_to(whole, target_is_directory=True)
            return
        except OSError:
            pass
    if folder.is_symlink():
        _unfold(folder, [name for name in needed if name not in chosen])
    by_file: dict[Path | None, list[str]] = defaultdict(list)
    for name, file in chosen.items():
        by_file[file.path if file.member else None].append(name)
    members = [file.member for file in chosen.values() if file.member]
    folder.mkdir(exist_ok=True)
    _require_space(folder, sum(info.file_size for info in members))
    with tqdm(total=len(chosen), desc='photos', unit='photo', disable=not progress) as bar:
        for path, names in by_file.items():
            archive = zipfile.ZipFile(path) if path else None
            try:
                for name in names:
                    _lay_photo(chosen[name], folder, name, archive, findings)
                    bar.update()
            finally:
                if archive:
                    archive.close()


def _lay_photo(file: Found, folder: Path, name: str, archive: zipfile.ZipFile | None, findings: Findings) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        findings.add('refused members', f'{target}: its folder is a link that leads out of {folder}')
    elif archive is None:
        _link(file.path.resolve(), target)
    else:
        _extract(archive, file, target, 'photo', findings)


def _photo_key(name: str) -> str:
    """The same for COCO_train2014_000000000009.jpg and 000000000009.jpg."""
    base = PurePosixPath(name).name
    coco = _COCO_PHOTO.fullmatch(base)
    return coco[1] if coco else base


def _likeness(name: str, file: Found) -> tuple[bool, int]:
    """How many folders agree; COCO's full name before the bare number."""
    wanted = PurePosixPath(name).parts
    agree = 0
    for a, b in zip(reversed(wanted[:-1]), reversed(file.names[:-1]), strict=False):
        if a != b:
            break
        agree += 1
    return file.names[-1] == wanted[-1], agree


def _is_whole(there: Path, candidates: list[Found]) -> bool:
    """A photo of another size than all its sources was cut by another program."""
    if not there.is_file():
        return False
    sizes = {file.member.file_size if file.member else file.path.stat().st_size for file in candidates}
    return there.is_symlink() or there.stat().st_size in sizes


def _common_folder(chosen: dict[str, Found]) -> Path | None:
    """The folder where all photos have the names that they need."""
    folders = set()
    for name, file in chosen.items():
        path = file.path.resolve()
        if file.member or path.parts[-len(PurePosixPath(name).parts) :] != PurePosixPath(name).parts:
            return None
        folders.add(path.parents[len(PurePosixPath(name).parts) - 1])
    return folders.pop() if len(folders) == 1 else None


def _unfold(folder: Path, names: Iterable[str]) -> None:
    """A link to a folder -> a folder of links, so that nothing is written into the folder of others."""
    old = folder.resolve()
    part = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in names:
        if (old / name).is_file():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            _link(old / name, part / name)
    folder.unlink()
    part.rename(folder)


# Verification


def _read_all(out: Path, findings: Findings) -> Iterator[Survey]:
    for folder in sorted(path for path in out.iterdir() if path.is_dir() and not _is_junk(path.name)):
        who = {match[1] for path in folder.iterdir() if (match := _REFS.fullmatch(path.name))}
        for split_by in sorted(who):
            try:
                yield _read(folder, split_by, findings)
            except (ValueError, OSError) as error:
                findings.add('annotations', str(error))


def _read(folder: Path, split_by: str, findings: Findings) -> Survey:
    survey = Survey(folder.name, split_by, {}, {})
    for record in read_refer(folder, split_by):
        split = survey.splits.setdefault(record.split, Split(set(), [], []))
        split.images.add(_same_photo(record.file_name))
        split.objects.append(record.ref_id)
        split.sentences.extend(sentence.sent_id for sentence in record.sentences)
        survey.photos[record.file_name] = record.size
        try:
            check_parts(record.parts, *record.size)
            if not record.parts and folder.name != 'grefcoco':
                raise ValueError('none')
        except ValueError as error:
            findings.add('masks', f'{folder.name} ({split_by}), ref_id {record.ref_id}: {error}')
    return survey


def _same_photo(name: str) -> str:
    return str(PurePosixPath(name).with_name(_photo_key(name)))


def _judged(survey: Survey, subset: bool, findings: Findings) -> dict:
    key = survey.name, survey.split_by
    known = KNOWN.get(key, {})
    total_of, totals = KNOWN_TOTALS.get(key, (frozenset(), ()))
    counts = {split: survey.splits[split].counts() for split in sorted(survey.splits, key=_split_order)}
    wrong = []
    for split, facts in known.items():
        if split not in counts:
            wrong.append(f'no split {split}')
            continue
        wrong += [f'{split}: {text}' for text in _differences(counts[split], facts)]
    wrong += [f'a split {split}, which the published set lacks' for split in counts if known and split not in known]
    if totals and set(counts) == total_of and (total := sum(c['sentences'] for c in counts.values())) not in totals:
        wrong.append(f'{total} sentences, published: {_either(totals)}')
    comparable = bool(known) or (bool(totals) and set(counts) == total_of)
    verdict = 'not a published set' if not comparable else 'ok' if not wrong else 'subset' if subset else 'wrong'
    if verdict == 'wrong':
        twin = _twin(counts, key)
        hint = f' (these are the counts of {twin})' if twin else ''
        for text in wrong:
            findings.add('counts', f'{survey.name} ({survey.split_by}), {text}{hint}')
    expected = {split: facts._asdict() for split, facts in known.items()}
    return {'verdict': verdict, 'splits': counts, 'expected': expected, 'differences': wrong}


def _split_order(split: str) -> tuple[int, str]:
    order = ('train', 'val', 'test', 'testA', 'testB')
    return (order.index(split) if split in order else len(order)), split


def _differences(counts: dict[str, int], facts: SplitFacts) -> Iterator[str]:
    for what, right in (
        ('images', () if facts.images is None else (facts.images,)),
        ('objects', () if facts.objects is None else (facts.objects,)),
        ('sentences', facts.sentences),
    ):
        if right and counts[what] not in right:
            yield f'{counts[what]} {what}, published: {_either(right)}'


def _either(numbers: tuple[int, ...]) -> str:
    return ' or '.join(map(str, numbers))


def _twin(counts: dict[str, dict[str, int]], key: tuple[str, str]) -> str | None:
    """The published set that has these counts."""
    for other, known in KNOWN.items():
        same_splits = other != key and counts.keys() == known.keys()
        if same_splits and not any(list(_differences(counts[split], known[split])) for split in known):
            return f'{other[0]} ({other[1]})'
    return None


def _look_for_shared_photos(survey: Survey, findings: Findings) -> None:
    train = survey.splits.get('train')
    for split, other in survey.splits.items():
        shared = sorted(train.images & other.images) if train and split != 'train' else []
        if shared and (survey.name, survey.split_by) in SHARED_PHOTOS:
            findings.notes.append(
                f'{survey.name} ({survey.split_by}): {len(shared)} photos are in train and in {split}. So it was '
                'published: this split parts objects, not photos'
            )
        else:
            for name in shared:
                findings.add('shared photos', f'{survey.name} ({survey.split_by}): {name} is in train and in {split}')


def _look_across(surveys: list[Survey], findings: Findings) -> None:
    for pair in combinations(surveys, 2):
        for a, b in (pair, pair[::-1]):
            train = a.splits['train'].images if 'train' in a.splits else set()
            held_out = {name for split, s in b.splits.items() if split != 'train' for name in s.images}
            if shared := len(train & held_out):
                findings.notes.append(
                    f'{shared} photos to train on in {a.name} ({a.split_by}) are held out in {b.name} ({b.split_by}): '
                    'mind it when training on several data sets'
                )


def _check_photos(
    folder: Path, photos: dict[str, tuple[int, int]], fast: bool, jobs: int, progress: bool, findings: Findings
) -> int:
    """-> how many are missing."""
    missing = [name for name in sorted(photos) if not (folder / name).is_file()]
    for name in missing:
        findings.add('missing photos', name)
    tasks = [(str(folder / name), photos[name]) for name in sorted(photos.keys() - set(missing))]
    jobs = min(jobs, -(-len(tasks) // PHOTOS_PER_PROCESS))
    look = partial(_photo_problem, fast=fast)
    bar = partial(tqdm, total=len(tasks), desc='checking', unit='photo', disable=not progress)
    if jobs <= 1:
        problems = list(bar(map(look, tasks)))
    else:
        with multiprocessing.get_context('spawn').Pool(jobs) as pool:
            problems = list(bar(pool.imap(look, tasks, chunksize=32)))
    for (path, _), problem in zip(tasks, problems, strict=True):
        if problem:
            findings.add('unreadable photos', f'{path}: {problem}')
    return len(missing)


def _photo_problem(task: tuple[str, tuple[int, int]], fast: bool) -> str | None:
    path, size = task
    try:
        found = photo_size(Path(path))
        if not fast:
            with Image.open(path) as photo:
                photo.load()
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error).removeprefix(f'{path}: ')
    return None if found == tuple(size) else f'{found} (height, width), its annotation says {tuple(size)}'
