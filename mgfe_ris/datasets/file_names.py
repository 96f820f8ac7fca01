"""The names of files in annotations: from anywhere, so not to be trusted."""

from pathlib import PurePosixPath
from typing import Any


def check_name(name: Any) -> str:
    """The name of a file inside of a folder, in one spelling; raises ValueError for one that climbs out of it, or that
    no disk takes."""
    path = PurePosixPath(name.replace('\\', '/') if isinstance(name, str) else '')
    parts = path.parts
    if not parts or path.is_absolute() or '\0' in name or '..' in parts or ':' in parts[0]:
        raise ValueError(f'{str(name)[:80]!r} is no file name inside of a folder')
    if len(name.encode()) > 1024 or max(len(part.encode()) for part in parts) > 255:
        raise ValueError(f'{name[:80]!r} is too long for the name of a file')
    return str(PurePosixPath(name))
