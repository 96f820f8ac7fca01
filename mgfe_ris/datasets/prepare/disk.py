"""Files come to their place whole: out of a zip, within limits, or as links."""

import hashlib
import lzma
import os
import shutil
import zipfile
import zlib
from pathlib import Path

from .findings import Findings
from .names import Found

MAX_BYTES = {'photo': 2**25, 'annotations': 2**31, 'zip': 2**36}
MAX_RATIO = 100  # unpacked to packed; annotations reach 10, photos 1.1
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, ValueError)


class NoSpaceError(ValueError):
    """The disk is too small."""


def extract(archive: zipfile.ZipFile, found: Found, target: Path, findings: Findings) -> bool:
    """A member -> ``target``, unless it is there; under another name first: what has its name is whole.

    Args:
        archive: the open zip.
        found: the member.
        target: where to write it.
        findings: takes why a member is refused.

    Returns:
        Whether it is there now.

    Raises:
        NoSpaceError: not enough space.
    """
    info = found.member
    assert info is not None
    if target.is_file() and target.stat().st_size == info.file_size:
        return True
    part = target.with_name(f'.{target.name}.part')
    try:
        if info.file_size > MAX_BYTES[found.kind]:
            raise ValueError(f'{info.file_size} bytes, more than {MAX_BYTES[found.kind]}')
        if info.file_size > 2**20 and info.file_size > MAX_RATIO * info.compress_size:
            raise ValueError(f'{info.file_size} bytes out of {info.compress_size}, more than {MAX_RATIO} times')
        target.parent.mkdir(parents=True, exist_ok=True)
        require_space(target.parent, info.file_size)
        with archive.open(info) as packed, open(part, 'wb') as file:
            shutil.copyfileobj(packed, file, 2**20)  # never more than file_size, and the checksum is compared
            if file.tell() != info.file_size:
                raise ValueError('it ends early')
        os.replace(part, target)
    except NoSpaceError:
        raise
    except BROKEN_ZIP as error:
        findings.add('refused members', f'{found}: {error}')
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def digest(found: Found) -> str:
    """Of a member: the same in every run, another for every other member."""
    info = found.member
    assert info is not None
    whence = (str(found.path.resolve()), info.filename, info.CRC, info.file_size)
    return hashlib.sha256(repr(whence).encode()).hexdigest()[:24]


def link(path: Path, target: Path) -> None:
    """A symbolic link; where there are none, a hard link or a copy. Raises NoSpaceError."""
    part = target.with_name(f'.{target.name}.part')
    part.unlink(missing_ok=True)
    try:
        part.symlink_to(path)
    except OSError:
        try:
            os.link(path, part)
        except OSError:
            require_space(target.parent, path.stat().st_size)
            shutil.copyfile(path, part)
    os.replace(part, target)


def require_space(folder: Path, needed: int) -> None:
    """Raises NoSpaceError where fewer bytes than ``needed`` are free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoSpaceError(f'{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free')
