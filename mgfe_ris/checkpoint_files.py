"""Checkpoints on disk or behind a URL, read without running anything that they hold."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from safetensors.torch import load_file, save_file


def read_checkpoint(source: str | Path) -> Any:
    """What ``torch.save`` or safetensors wrote. Only tensors and plain records are unpickled.

    Args:
        source: a local file, or an http(s) URL, which is downloaded once into torch's cache.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a checkpoint, or holds other objects.
    """
    remote = urlparse(str(source)).scheme in ('http', 'https')
    path = _download(str(source)) if remote else Path(source)
    if not path.is_file():
        raise FileNotFoundError(f'{source}: no such checkpoint; expected a local file or an http(s) URL')
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        if remote:
            path.unlink(missing_ok=True)  # half a download, or a page in its place: the next try starts anew
        asked = re.search(r'GLOBAL (\S+)', str(error))  # torch's text is a page long, and advises to load unsafely
        reason = f'it asks for {asked[1]}' if asked else 'it is no whole file of torch.save or safetensors'
        raise ValueError(f'{path}: not a checkpoint that can be read safely: {reason}') from error


def convert_checkpoint(source: str | Path, convert: Callable[[Any], Any]) -> Any:
    """Read a checkpoint and convert it by one of :mod:`mgfe_ris.models.checkpoints`.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint` and ``convert`` do; the file is named.
    """
    checkpoint = read_checkpoint(source)
    try:
        return convert(checkpoint)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error


def write_checkpoint(state: Mapping[str, Any], path: str | Path) -> Path:
    """Write ``.safetensors`` (a state dict) or what ``torch.save`` writes (any other suffix), whole or not at all.

    Raises:
        FileExistsError: the file is there.
    """
    path = require_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    part.touch()
    mode = part.stat().st_mode
    try:
        if path.suffix == '.safetensors':
            save_file({name: value.contiguous() for name, value in state.items()}, part, metadata=dict(format='pt'))
            part.chmod(mode)  # safetensors makes it its owner's alone
        else:
            torch.save(state, part)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def require_new(path: str | Path) -> Path:
    """The path of a file that is not there yet; see :func:`write_checkpoint`."""
    if Path(path).exists():
        raise FileExistsError(f'{path} is there already; name another file, or delete it')
    return Path(path)


def _download(url: str) -> Path:
    """Into torch's cache, by one process; a hash in the file's name is checked, as torch does."""
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(url).path).name)
    if is_main_process() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        hash_prefix = re.search(r'-([0-9a-f]{8,})\.', path.name)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix[1] if hash_prefix else None)
        except (OSError, RuntimeError) as error:
            raise OSError(f'{url}: not to be had ({error}). Download it and name the file instead') from error
    barrier()
    return path


class _Ignored:
    """Stands in for what is written beside the weights, logged numbers and command lines: none of it is built."""

    def __init__(self, *args: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _statistic(owner: object, name: str) -> None:
    """In place of getattr, with which any file could run code: HistoryBuffer's pickles use it for these four."""
    if owner is not _Ignored or name not in ('current', 'max', 'mean', 'min'):
        raise ValueError(f'GLOBAL getattr of {name}')


# numpy 1 and 2 name the functions differently
_STAND_INS: list[Callable | tuple[Callable, str]] = [
    (_Ignored, 'argparse.Namespace'),  # the official LAVT's
    (_statistic, 'builtins.getattr'),
    (_Ignored, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_Ignored, 'numpy.ndarray'),
    (_Ignored, 'numpy.dtype'),
    *((_Ignored, f'numpy.{core}.multiarray.{f}') for core in ('core', '_core') for f in ('_reconstruct', 'scalar')),
]
