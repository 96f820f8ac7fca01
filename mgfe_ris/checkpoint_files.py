"""Checkpoints on disk or behind a URL, read without running anything that they hold."""

import re
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from .download import download, is_address
from .output_files import whole_file
from .torchscript_files import ScriptError, is_torchscript, read_torchscript
from .weight_packages import in_package

_MAX_BYTES, _SECONDS, _SILENCE = 20 * 10**9, 6 * 3600, 60
"""Of a download; see :mod:`mgfe_ris.download`."""

_REPEATED = 1 << 24
"""Bytes of a tensor that the file need not hold, since they are the same."""


def read_checkpoint(source: str | Path, mapped: bool = False) -> Any:
    """What ``torch.save``, safetensors or ``torch.jit.save`` wrote. Only tensors and plain records are unpickled.

    Args:
        source: a local file, an http(s) URL, which is downloaded once into torch's cache, or ``package:<name>``, see
            :mod:`mgfe_ris.weight_packages`.
        mapped: read the numbers of a tensor when they are used, from the file, which must stay; the rest at once.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a checkpoint, or holds other objects.
    """
    remote = is_address(str(source))
    path = _download(str(source)) if remote else Path(in_package(source))
    if not path.is_file():
        raise FileNotFoundError(f'{source}: no such checkpoint; expected a local file or an http(s) URL')
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        if is_torchscript(path):
            return read_torchscript(path)
        _require_stored(path)
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location='cpu', weights_only=True, mmap=mapped and is_zipfile(path))
    except PermissionError:
        raise
    except Exception as error:
        if remote:
            path.unlink(missing_ok=True)  # half a download, or a page in its place: the next try starts anew
        asked = re.search(r'GLOBAL (\S+)', str(error))  # torch's text is a page long, and advises to load unsafely
        reason = f'it asks for {asked[1]}' if asked else 'it is no whole file of torch.save or safetensors'
        if isinstance(error, ScriptError):
            reason = str(error)
        raise ValueError(f'{source}: not a checkpoint that can be read safely: {reason}') from error


def _require_stored(path: Path) -> None:
    """torch never compresses: a small file that is deflated, or names its bytes twice, may hold any number of zeros."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            if sum(one.file_size for one in file.infolist()) > path.stat().st_size:
                raise ValueError('it holds more than its size')


def convert_checkpoint(source: str | Path, convert: Callable[[Any], Mapping[str, Any]]) -> Any:
    """Read a checkpoint and convert it to weights by one of :mod:`mgfe_ris.models.checkpoints`.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint` and ``convert`` do; the file is named.
        ValueError: weights that are not finite, see :func:`require_finite`.
    """
    checkpoint = read_checkpoint(source)
    try:
        converted = convert(checkpoint)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error
    require_finite(converted, source)
    return converted


def require_finite(state: Mapping[str, Any], source: str | Path) -> None:
    """Refuse weights that are not numbers: a training that diverged wrote them, and every mask of theirs is empty.

    Raises:
        ValueError: a tensor holds NaN or infinity; the first one is named.
    """
    for name, value in state.items():
        if isinstance(value, Mapping):  # two models in one file
            require_finite(value, source)
            continue
        if value.numel() * value.element_size() > value.untyped_storage().nbytes() + _REPEATED:
            raise ValueError(
                f'{source}: {name} repeats few numbers {value.numel():,} times, as no training writes them'
            )
        # the sum needs no memory; it is not finite either where finite numbers are very large
        if value.is_floating_point() and not value.sum().isfinite() and not value.isfinite().all():
            bad = int((~value.isfinite()).sum())
            raise ValueError(
                f'{source}: {bad} of the {value.numel()} numbers of {name} are NaN or infinite: the training diverged '
                'before it wrote them. Take a checkpoint of before'
            )


def require_intact(path: str | Path) -> None:
    """Compare all bytes of what ``torch.save`` wrote with the checksums in the file: a disk may have lost some.

    Raises:
        ValueError: some differ.
    """
    try:
        with ZipFile(path) as file:
            wrong = file.testzip()
    except (BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f'{path}: it is no whole file of torch.save ({error})') from error
    if wrong is not None:
        raise ValueError(f'{path}: {wrong} in it was changed since it was written; the disk may have lost bytes')


def write_checkpoint(state: Mapping[str, Any], path: str | Path) -> Path:
    """Write ``.safetensors`` (a state dict) or what ``torch.save`` writes (any other suffix), whole or not at all.

    Raises:
        FileExistsError: the file is there.
    """
    path = require_new(path)
    with whole_file(path) as part:
        if path.suffix == '.safetensors':
            part.touch()
            mode = part.stat().st_mode
            save_file({name: value.contiguous() for name, value in state.items()}, part, metadata=dict(format='pt'))
            part.chmod(mode)  # safetensors makes it its owner's alone
        else:
            torch.save(state, part)
    return path


def require_new(path: str | Path) -> Path:
    """The path of a file that is not there yet; see :func:`write_checkpoint`."""
    if Path(path).exists():
        raise FileExistsError(f'{path} is there already; name another file, or delete it')
    return Path(path)


def require_new_pth(path: str | Path) -> Path:
    """The path of a file that is not there yet, for code that calls ``torch.load``.

    Raises:
        FileExistsError: the file is there.
        ValueError: its name ends as those of another format.
    """
    if Path(path).suffix == '.safetensors':
        raise ValueError(f'{path}: the official code reads .pth files')
    return require_new(path)


def _download(url: str) -> Path:
    """Into torch's cache, by one process.

    A hash of the content in the file's name is checked, as torch does; names without one get one of the address, since
    another site may have a file of the same name.
    """
    name = Path(urlparse(url).path)
    hash_prefix = re.search(r'-([0-9a-f]{8,})\.', name.name)
    kept = name.name if hash_prefix else f'{name.stem}.{sha256(url.encode()).hexdigest()[:8]}{name.suffix}'
    path = Path(torch.hub.get_dir(), 'checkpoints', kept)
    if is_main_process() and not path.is_file():
        try:
            with whole_file(path) as part:
                _fetch(url, part)
                _compare(part, hash_prefix[1] if hash_prefix else '')
        except (OSError, ValueError) as error:
            raise OSError(f'{url}: not to be had ({error}). Download it and name the file instead') from error
    barrier()
    return path


def _fetch(url: str, path: Path) -> None:
    with (
        open(path, 'wb') as file,
        tqdm.wrapattr(file, 'write', desc=f'downloading {url}', miniters=1, disable=None) as out,
    ):
        download(url, out, _MAX_BYTES, _SECONDS, _SILENCE)


def _compare(path: Path, prefix: str) -> None:
    digest = sha256()
    with open(path, 'rb') as file:
        while prefix and (piece := file.read(1 << 20)):
            digest.update(piece)
    if prefix and not digest.hexdigest().startswith(prefix):
        raise ValueError(f'its hash value is {digest.hexdigest()[:16]}..., and its name says {prefix}')


class _Ignored:
    """Stands in for what is written beside the weights, such as command lines: none of it is built."""

    def __init__(self, *args: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


class LoggedNumbers:
    """The numbers of a ``HistoryBuffer`` of mmengine, which training logged.

    Attributes:
        values, counts: of one length.
    """

    values: np.ndarray = np.zeros(0)
    counts: np.ndarray = np.zeros(0)

    def __setstate__(self, state: dict) -> None:
        arrays = [state.get(name) for name in ('_log_history', '_count_history')]
        numbers = [array.numbers for array in arrays if isinstance(array, _Array)]
        if len(numbers) == 2 and numbers[0].shape == numbers[1].shape:
            self.values, self.counts = numbers


def _statistic(owner: object, name: str) -> None:
    """In place of getattr, with which any file could run code: HistoryBuffer's pickles use it for these four."""
    if owner is not LoggedNumbers or name not in ('current', 'max', 'mean', 'min'):
        raise ValueError(f'GLOBAL getattr of {name}')


class _Dtype:
    """numpy's type of plain numbers, by its name; the order of the bytes follows in the state."""

    def __init__(self, name: str = '', *args: object):
        self.name = name if re.fullmatch('[biuf][1248]', str(name)) else None

    def __setstate__(self, state: tuple) -> None:
        if self.name and state[1] in ('<', '>'):
            self.name = state[1] + self.name


class _Array:
    """In place of a numpy array: its numbers, row by row; none, where it holds anything else."""

    numbers = np.zeros(0)

    def __init__(self, *args: object):
        pass

    def __setstate__(self, state: tuple) -> None:
        _, _, dtype, _, data = state
        if isinstance(dtype, _Dtype) and dtype.name and isinstance(data, bytes):
            self.numbers = np.frombuffer(data, dtype.name)


def _scalar(dtype: object, data: object = b'') -> object:
    """In place of a numpy number, Python's."""
    if isinstance(dtype, _Dtype) and dtype.name and isinstance(data, bytes):
        return np.frombuffer(data, dtype.name)[0].item()
    return _Ignored()


# numpy 1 and 2 name the functions differently
_STAND_INS: list[Callable | tuple[Callable, str]] = [
    (_Ignored, 'argparse.Namespace'),  # the official LAVT's
    (_statistic, 'builtins.getattr'),
    (LoggedNumbers, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_Ignored, 'numpy.ndarray'),
    (_Dtype, 'numpy.dtype'),
    *((_Array, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
    *((_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
]
