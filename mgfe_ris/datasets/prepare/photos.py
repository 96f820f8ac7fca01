"""The photos that annotations need, of all that were found -> one folder, or a link to the folder that has them."""

import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from .disk import extract, link, require_space
from .findings import Findings
from .names import Found, photo_key


def lay_photos(found: list[Found], needed: list[str], folder: Path, findings: Findings, progress: bool) -> None:
    """Those that are not there, or not whole.

    Args:
        found: photos.
        needed: names in ``folder``.
        folder: of the layout.
        findings: takes what is refused.
        progress: show a progress bar.

    Raises:
        ValueError: not enough space.
    """
    chosen = _chosen(found, needed, folder)
    if not chosen or (len(chosen) == len(needed) and _linked_whole(chosen, folder)):
        return
    if folder.is_symlink():
        _unfold(folder, [name for name in needed if name not in chosen])
    folder.mkdir(exist_ok=True)
    require_space(folder, sum(file.member.file_size for file in chosen.values() if file.member))
    by_zip: dict[Path | None, list[str]] = defaultdict(list)
    for name, file in chosen.items():
        by_zip[file.path if file.member else None].append(name)
    with tqdm(total=len(chosen), desc='photos', unit='photo', disable=not progress) as bar:
        for path, names in by_zip.items():
            opened: AbstractContextManager[zipfile.ZipFile | None] = zipfile.ZipFile(path) if path else nullcontext()
            with opened as archive:
                for name in names:
                    _lay_photo(chosen[name], folder, name, archive, findings)
                    bar.update()


def _chosen(found: list[Found], needed: list[str], folder: Path) -> dict[str, Found]:
    by_key: dict[str, list[Found]] = defaultdict(list)
    for file in found:
        by_key[photo_key(file.name)].append(file)
    return {
        name: max(candidates, key=partial(_likeness, name))
        for name in needed
        if (candidates := by_key[photo_key(name)]) and not _is_whole(folder / name, candidates)
    }


def _likeness(name: str, file: Found) -> tuple[bool, int]:
    """COCO's full name before the bare number; how many folders agree."""
    wanted = PurePosixPath(name).parts
    agree = 0
    for a, b in zip(reversed(wanted[:-1]), reversed(file.names[:-1]), strict=False):
        if a != b:
            break
        agree += 1
    return file.name == wanted[-1], agree


def _is_whole(there: Path, candidates: list[Found]) -> bool:
    """A photo of another size than all its sources was cut by another program."""
    if not there.is_file():
        return False
    sizes = {file.member.file_size if file.member else file.path.stat().st_size for file in candidates}
    return there.is_symlink() or there.stat().st_size in sizes


def _linked_whole(chosen: dict[str, Found], folder: Path) -> bool:
    """Where no folder is yet, a link does for all, if it can be made."""
    whole = None if folder.exists() else _common_folder(chosen)
    if whole is None:
        return False
    folder.unlink(missing_ok=True)  # a link to nowhere
    try:
        folder.symlink_to(whole, target_is_directory=True)
    except OSError:
        return False
    return True


def _common_folder(chosen: dict[str, Found]) -> Path | None:
    """The folder where all photos have the names that they need."""
    folders = set()
    for name, file in chosen.items():
        path, parts = file.path.resolve(), PurePosixPath(name).parts
        if file.member or path.parts[-len(parts) :] != parts:
            return None
        folders.add(path.parents[len(parts) - 1])
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
            link(old / name, part / name)
    folder.unlink()
    part.rename(folder)


def _lay_photo(file: Found, folder: Path, name: str, archive: zipfile.ZipFile | None, findings: Findings) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        findings.add('refused members', f'{target}: its folder is a link that leads out of {folder}')
    elif archive is None:
        link(file.path.resolve(), target)
    else:
        extract(archive, file, target, findings)
