"""A config in JSON: it travels with weights, from anybody, and is read as data."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry

from ..registry import SCOPE

HERE = '{{ fileDirname }}'
"""Stands for the config's own folder, in JSON as in mmengine's Python configs."""


def read_json(path: Path) -> Config:
    """What a model is made of and how its photos are prepared; nothing that is run, fetched, or written to.

    It may name our parts and the few stock ones that they need. Other stock parts are not harmless: mmseg's losses, for
    one, unpickle files that their arguments name. Nor are all arguments, see :data:`_REFUSED`. Not through mmengine,
    which would run a ``_base_``, import ``custom_imports``, look a ``type`` with a dot up as a function of a module,
    and put environment variables in place before all that.

    Raises:
        ValueError: no JSON, no config of a model, or one that asks for more.
    """
    try:
        raw = json.loads(path.read_text(encoding='utf-8'))
    except (RecursionError, ValueError) as error:
        raise ValueError(f'{path}: no whole JSON file ({error})') from error
    if not isinstance(raw, dict) or not isinstance(raw.get('model'), dict):
        raise ValueError(f'{path}: no config of a model of ours: it has no "model"')
    if foreign := list(dict.fromkeys(_foreign(raw))):
        raise ValueError(
            f'{path} asks for code beyond the parts of mgfe_ris: {", ".join(foreign)}. If you trust it, import the '
            'modules of its custom_imports yourself first'
        )
    if refused := list(dict.fromkeys(_refused(raw))):
        raise ValueError(
            f'{path}: a config in JSON may come from anybody, and this one {"; ".join(refused)}. If you trust it, '
            'write that into a Python config of your own'
        )
    for node in nodes_of(raw):
        node.update({k: v.replace(HERE, str(path.absolute().parent)) for k, v in node.items() if isinstance(v, str)})
    return Config(raw, filename=str(path))


def nodes_of(root: Any) -> Iterator[dict]:
    """Every dict in a tree of dicts and sequences, outer ones first."""
    if isinstance(root, dict):
        yield root
    children = root.values() if isinstance(root, dict) else root if isinstance(root, (list, tuple)) else ()
    for child in list(children):
        yield from nodes_of(child)


# Code


def _foreign(raw: dict) -> Iterator[str]:
    imports = (raw.get('custom_imports') or {}).get('imports', [])
    imports = [imports] if isinstance(imports, str) else imports
    if '_base_' in raw:
        yield f'_base_ = {raw["_base_"]}'
    yield from (name for name in imports if name not in sys.modules)
    for node in nodes_of(raw):
        if 'type' in node and not _is_known(node['type'], imports):
            yield str(node['type'])
        # mmengine notes whose base a setting came from
        if node.get('_scope_', SCOPE) != SCOPE and not _is_known(node['_scope_'], imports):
            yield str(node['_scope_'])


_STOCK = {
    *('AdamW', 'BN', 'CheckpointHook', 'Constant', 'CosineAnnealingLR', 'DefaultSampler', 'DistSamplerSeedHook'),
    *('EpochBasedTrainLoop', 'GN', 'IterTimerHook', 'Kaiming', 'LN', 'LinearLR', 'LocalVisBackend', 'LoggerHook'),
    *('OptimWrapper', 'PackSegInputs', 'ParamSchedulerHook', 'Resize', 'SyncBN', 'TensorboardVisBackend', 'ValLoop'),
    *('Visualizer', 'mmcv.transforms.Resize'),  # mmseg has a Resize of its own, which the name alone means
}
"""Of mmengine, mmcv and mmseg: what our configs use, none of which runs or unpickles what its arguments name."""


def _is_known(name: Any, imports: list[str]) -> bool:
    """Whether a ``type`` is in the list, or a part of ours or of modules that the user imported."""
    packages = {'mgfe_ris', *(module.split('.')[0] for module in imports)}
    registered = [r.module_dict[name] for r in _REGISTRIES if isinstance(name, str) and name in r.module_dict]
    ours = bool(registered) and all(part.__module__.split('.')[0] in packages for part in registered)
    return ours or (isinstance(name, str) and name in _STOCK)


_REGISTRIES = [value for value in vars(mmseg.registry).values() if isinstance(value, Registry)]


# Settings


_WRITES = (
    *('collect_dir', 'config_save_file', 'filename_tmpl', 'folder', 'img_save_dir', 'json_log_path', 'log_dir'),
    *('out_dir', 'per_sample', 'save_dir', 'scalar_save_file', 'tmpdir', 'work_dir'),
)


def _is_elsewhere(value: Any) -> bool:
    """Whether it is read from another place than the config's own folder: another file, or a hub."""
    return not isinstance(value, str) or not value.startswith(f'{HERE}/') or '..' in Path(value).parts


_REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **{key: (lambda value: value is not None, f'says where to write, by {key}') for key in _WRITES},
    **{
        key: (lambda value: value is not None and _is_elsewhere(value), f'reads files of another place, by {key}')
        for key in ('load_from', 'pretrained')
    },
    **{
        key: (lambda value: value is not None, f'reads through a program of its own choice, by {key}')
        for key in ('backend_args', 'file_client_args')
    },
    # the options of torch.compile name compilers
    'compile': (lambda value: not isinstance(value, bool), 'gives options to a compiler, by compile'),
    # other names are kernels of a hub
    'attn_implementation': (lambda value: value not in ('eager', 'sdpa'), 'fetches code, by attn_implementation'),
    '_attn_implementation': (lambda value: value not in ('eager', 'sdpa'), 'fetches code, by _attn_implementation'),
    **{key: (lambda value: True, f'asks for other code, by {key}') for key in ('auto_map', 'quantization_config')},
}
"""Settings, wherever they stand, of which some values are refused; and why."""


def _refused(raw: dict) -> Iterator[str]:
    for node in nodes_of(raw):
        for key, value in node.items():
            wrong, why = _REFUSED.get(key, (None, ''))
            if wrong is not None and wrong(value):
                yield why
