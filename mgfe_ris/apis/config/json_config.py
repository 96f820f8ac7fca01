"""A config in JSON: it travels with weights, from anybody, and is read as data."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry

from ...registry import SCOPE
from .json_settings import HERE, READ, STOCK, refused_settings

_LARGEST_FILE, _DEEPEST = 4_000_000, 50


def read_json(path: Path) -> Config:
    """What a model is made of and how its photos are prepared; nothing that is run, fetched, or written to.

    It may name our parts, with the arguments that their constructors have, and the few stock ones that they need, with
    those that :mod:`json_settings` admits, as with all other settings. Variables of a Python config are
    left out, since nothing reads them. Not through mmengine, which would run a ``_base_``, import ``custom_imports``,
    look a ``type`` with a dot up as a function of a module, and put environment variables in place before all that.

    Raises:
        ValueError: no JSON, no config of a model, or one that asks for more.
    """
    raw = _parsed(path)
    if not isinstance(raw, dict) or not isinstance(raw.get('model'), dict):
        raise ValueError(f'{path}: no config of a model of ours: it has no "model"')
    if foreign := list(dict.fromkeys(_foreign(raw))):
        raise ValueError(
            f'{path} asks for code beyond the parts of mgfe_ris: {", ".join(foreign)}. If you trust it, import the '
            'modules of its custom_imports yourself first'
        )
    raw = {key: value for key, value in raw.items() if key in READ}
    if refused := list(dict.fromkeys(refused_settings(raw))):
        raise ValueError(
            f'{path}: a config in JSON may come from anybody, and this one {"; ".join(refused[:5])}. If you trust it, '
            'write that into a Python config of your own'
        )
    for node in nodes_of(raw):
        node.update({k: v.replace(HERE, str(path.absolute().parent)) for k, v in node.items() if isinstance(v, str)})
    return Config(raw, filename=str(path))


def _parsed(path: Path) -> Any:
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f'{path}: a config of {path.stat().st_size:,} bytes; at most {_LARGEST_FILE:,} are read')
    try:
        raw = json.loads(path.read_text(encoding='utf-8'))
    except (RecursionError, ValueError) as error:
        raise ValueError(f'{path}: no whole JSON file ({error})') from error
    if _is_deeper(raw, _DEEPEST):
        raise ValueError(f'{path}: no whole JSON file of ours (more than {_DEEPEST} brackets inside one another)')
    return raw


def _is_deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth == 0 or any(_is_deeper(one, depth - 1) for one in inner)


def nodes_of(root: Any) -> Iterator[dict]:
    """Every dict in a tree of dicts and sequences, outer ones first."""
    if isinstance(root, dict):
        yield root
    children = root.values() if isinstance(root, dict) else root if isinstance(root, (list, tuple)) else ()
    for child in list(children):
        yield from nodes_of(child)


# Code


def _foreign(raw: dict) -> Iterator[str]:
    imports = raw.get('custom_imports') or {}
    imports = imports.get('imports') or [] if isinstance(imports, dict) else imports
    imports = [str(name) for name in (imports if isinstance(imports, list) else [imports])]
    if '_base_' in raw:
        yield f'_base_ = {raw["_base_"]}'
    yield from (name for name in imports if name not in sys.modules)
    for node in nodes_of(raw):
        if 'type' in node and not _is_known(node['type'], imports):
            yield str(node['type'])
        # mmengine notes whose base a setting came from
        if node.get('_scope_', SCOPE) != SCOPE and not _is_known(node['_scope_'], imports):
            yield str(node['_scope_'])


def _is_known(name: Any, imports: list[str]) -> bool:
    """Whether a ``type`` is in the list, or a part of ours or of modules that the user imported."""
    packages = {'mgfe_ris', *(module.split('.')[0] for module in imports)}
    registered = [r.module_dict[name] for r in _REGISTRIES if isinstance(name, str) and name in r.module_dict]
    ours = bool(registered) and all(part.__module__.split('.')[0] in packages for part in registered)
    return ours or (isinstance(name, str) and name in STOCK)


_REGISTRIES = [value for value in vars(mmseg.registry).values() if isinstance(value, Registry)]
