"""What the sources hold: zips and folders from anywhere, also in one another."""

import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ..readers import check_name
from .disk import BROKEN_ZIP, digest, extract
from .findings import Findings
from .names import Found, alias, is_junk, kind

MAX_DEPTH = 3


def find(sources: Sequence[Path], unpacked: Path, findings: Findings) -> list[Found]:
    """Annotations and photos.

    Args:
        sources: zips, folders, single files.
        unpacked: takes the zips that lie in zips.
        findings: takes what is refused.

    Raises:
        FileNotFoundError: a source is missing.
        ValueError: a source is neither folder, zip nor a file of a data set; not enough space.
    """
    found: list[Found] = []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f'{source}: no such file or folder')
        whole = source.resolve()
        around = [whole.parent.name] if alias(whole.parent.name) else []  # it tells the data set
        files = list(_walk(source, (*around, whole.name), {unpacked.resolve()}, unpacked, findings))
        if not files and not source.is_dir() and not findings.problems:
            raise ValueError(
                f'{source}: nothing of a data set in it: no refs(...).p or .json, instances.json or photos. '
                'Other archives than zip must be unpacked first'
            )
        found += files
    return found


def _walk(path: Path, names: tuple[str, ...], seen: set[Path], unpacked: Path, findings: Findings) -> Iterator[Found]:
    if path.is_dir():
        if path.resolve() in seen:  # a link to a folder above
            return
        seen.add(path.resolve())
        for child in sorted(path.iterdir()):
            if not is_junk(child.name):
                yield from _walk(child, (*names, child.name), seen, unpacked, findings)
    elif (what := kind(path.name)) and path.is_file():
        yield from _members(path, names, unpacked, findings) if what == 'zip' else [Found(path, None, names)]


def _members(path: Path, names: tuple[str, ...], unpacked: Path, findings: Findings, depth: int = 1) -> Iterator[Found]:
    try:
        archive = zipfile.ZipFile(path)
    except (*BROKEN_ZIP, OSError) as error:
        findings.add('broken zips', f'{path}: {error}')
        return
    with archive:
        for info in archive.infolist():
            inside = PurePosixPath(info.filename.replace('\\', '/')).parts
            found = Found(path, info, (*names, *inside))
            try:
                _check_member(info)
            except ValueError as error:
                findings.add('refused members', f'{found}: {error}')
                continue
            if info.is_dir() or any(map(is_junk, inside)) or not found.kind:
                continue
            if found.kind != 'zip':
                yield found
            elif depth == MAX_DEPTH:
                findings.add('refused members', f'{found}: a zip in a zip, {depth} deep')
            elif extract(archive, found, inner := unpacked / f'{digest(found)}.zip', findings):
                yield from _members(inner, found.names, unpacked, findings, depth + 1)


def _check_member(info: zipfile.ZipInfo) -> None:
    check_name(info.orig_filename)
    check_name(info.filename)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ValueError('a link')
