"""The weights in a TorchScript archive, as OpenAI published CLIP; its program is neither loaded nor run."""

import io
import pickle
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class ScriptError(ValueError):
    """An archive that holds more than modules and tensors, or less than it says."""


def is_torchscript(path: Path) -> bool:
    """Whether ``torch.jit.save`` wrote it: it holds a program beside its data."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.count('/') == 1 and name.endswith('/constants.pkl') for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers by name, such as ``visual.conv1.weight``.

    Raises:
        ScriptError: it asks for anything but modules, tensors and lists of numbers, or its parts do not fit.
    """
    with zipfile.ZipFile(path) as archive:
        (root,) = {name.split('/')[0] for name in archive.namelist() if name.endswith('/constants.pkl')}
        module = _ModuleUnpickler(archive, root).load()
    if not isinstance(module, _Module):
        raise ScriptError('it holds no module')
    return dict(module.tensors())


_RECORDS = 1 << 26
"""Bytes of names and sizes; the numbers lie beside them."""


class _Module:
    """In place of a module's class: what it holds, by name."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}

    def __setstate__(self, parts: dict) -> None:
        self.parts = parts

    def tensors(self, prefix: str = '') -> Any:
        for name, value in self.parts.items():
            if isinstance(value, Tensor):
                yield prefix + name, value
            elif isinstance(value, _Module):
                yield from value.tensors(f'{prefix}{name}.')


class _ModuleUnpickler(pickle.Unpickler):
    """Builds tensors from the archive's own data and modules as :class:`_Module`; nothing else has a name here."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        records = archive.getinfo(f'{root}/data.pkl')
        if records.file_size > _RECORDS:
            raise ScriptError(f'{records.filename} is larger than {_RECORDS:,} bytes')
        super().__init__(io.BytesIO(archive.read(records)))
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module == '__torch__' or module.startswith('__torch__.'):
            return _Module
        known = _KNOWN.get((module, name)) or (_STORAGES.get(name) if module == 'torch' else None)
        if known is None:
            raise ScriptError(f'it asks for {module}.{name}')
        return known

    def persistent_load(self, pid: Any) -> Tensor:
        """The numbers of a storage: ('storage', dtype, key, device, how many)."""
        kind, dtype, key, _, count = pid
        if kind != 'storage' or not isinstance(dtype, torch.dtype):
            raise ScriptError(f'it asks for a {kind}')
        member = self.archive.getinfo(f'{self.root}/data/{key}')
        if member.file_size != count * dtype.itemsize:
            raise ScriptError(f'{member.filename} has {member.file_size} bytes, not {count} numbers of {dtype}')
        if member.compress_type != zipfile.ZIP_STORED:
            raise ScriptError(f'{member.filename} is packed, which torch does not do')
        data = bytearray(self.archive.read(member))
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """In place of torch's function of these arguments: the rows of a storage; a copy, so that nothing is shared."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if prod(size) else 0
    if offset < 0 or min((*stride, 0)) < 0 or last >= max(len(storage), 1):
        raise ScriptError(f'a tensor of size {size} is not in its {len(storage)} numbers')
    return storage.as_strided(size, stride, offset).clone()


_KNOWN: dict[tuple[str, str], Any] = {
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('collections', 'OrderedDict'): dict,
    **{('torch.jit._pickle', f'build_{kind}list'): list for kind in ('int', 'double', 'bool', 'tensor')},
}
_STORAGES = {
    f'{name}Storage': dtype
    for name, dtype in dict(
        Float=torch.float32,
        Half=torch.float16,
        BFloat16=torch.bfloat16,
        Double=torch.float64,
        Long=torch.int64,
        Int=torch.int32,
        Bool=torch.bool,
        Byte=torch.uint8,
    ).items()
}
