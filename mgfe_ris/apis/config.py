"""Configs as every tool reads them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

CONFIG_ROOT = Path(__file__).parents[1] / '.mim' / 'configs'

HERE = '{{ fileDirname }}'
"""Stands for the config's own folder, in JSON as in mmengine's Python configs."""


def load_config(
    config: str | Path, options: dict | None = None, from_scratch: bool = False, data_root: str | None = None
) -> Config:
    """Read a config file.

    Args:
        config: a path, or the name of one of ours (``mgfe-ris_tiny_refshapes``).
        options: changes by dotted key, as ``--cfg-options`` gives them. ``data_root`` reaches every data set
            of the config, not only the variable of that name.
        from_scratch: name no weights and no tokenizer of a hub: random weights, built-in vocabulary.
        data_root: short for ``options['data_root']``.

    Raises:
        FileNotFoundError: no such file or name; the message lists the names there are.
        ValueError: a JSON config that is broken, or that would import or call anything but registered parts.
    """
    path = find_config(config)
    cfg = _read_json(path) if path.suffix == '.json' else Config.fromfile(path)
    options = dict(options or {})
    if data_root is not None:
        options['data_root'] = data_root
    cfg.merge_from_dict(options)
    if 'data_root' in options:
        set_everywhere(cfg._cfg_dict, 'data_root', options['data_root'])
    return without_pretrained(cfg) if from_scratch else cfg


def find_config(name: str | Path) -> Path:
    """The path of a config given by path or by the name of one of ours; see :func:`load_config`."""
    if Path(name).is_file():
        return Path(name)
    ours = {path.stem: path for path in sorted(CONFIG_ROOT.glob('[!_]*/*.py'))}
    try:
        return ours[str(name).removesuffix('.py')]
    except KeyError:
        raise FileNotFoundError(f'{name}: no such config file. Ours are {", ".join(ours)}') from None


def without_pretrained(cfg: Config) -> Config:
    """The same config with random weights and the built-in vocabulary, which needs no network and no file.

    Every ``pretrained`` becomes None, and every ``init_cfg`` of type ``Pretrained``.
    """
    set_everywhere(cfg._cfg_dict, 'pretrained', None)
    _drop_pretrained_init(cfg._cfg_dict)
    return cfg


def _read_json(path: Path) -> Config:
    """A JSON config travels with weights, from anybody: it may name registered parts, not what Python can import.

    Not through mmengine, which would run a ``_base_``, import ``custom_imports``, look a ``type`` with a dot up as
    a function of a module, and put environment variables in place before all that.
    """
    try:
        raw = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: no whole JSON file ({error})') from error
    if not isinstance(raw, dict):
        raise ValueError(f'{path}: expected a config, an object by name; got a {type(raw).__name__}')
    foreign = [f'_base_ = {raw["_base_"]}'] if '_base_' in raw else []
    foreign += [node['type'] for node in _nodes(raw) if isinstance(node.get('type'), str) and '.' in node['type']]
    imports = raw.get('custom_imports', {}).get('imports', [])
    foreign += [name for name in ([imports] if isinstance(imports, str) else imports) if name not in sys.modules]
    if foreign:
        raise ValueError(
            f'{path} asks for code beyond the registered parts: {", ".join(foreign)}. If you trust it, import those '
            'modules yourself first, and name parts as they are registered'
        )
    for node in _nodes(raw):
        node.update({k: v.replace(HERE, str(path.absolute().parent)) for k, v in node.items() if isinstance(v, str)})
    return Config(raw, filename=str(path))


def set_everywhere(root: Any, key: str, value: Any) -> None:
    """Set ``key`` wherever it stands in a tree of dicts."""
    for node in _nodes(root):
        if key in node:
            node[key] = value


def _drop_pretrained_init(root: Any) -> None:
    for node in _nodes(root):
        if node.get('init_cfg'):
            steps = node['init_cfg'] if isinstance(node['init_cfg'], (list, tuple)) else [node['init_cfg']]
            kept = [step for step in steps if step['type'] != 'Pretrained']
            if len(kept) < len(steps):
                node['init_cfg'] = kept or None


def _nodes(root: Any) -> Iterator[dict]:
    """Every dict in a tree of dicts and sequences, outer ones first."""
    if isinstance(root, dict):
        yield root
    children = root.values() if isinstance(root, dict) else root if isinstance(root, (list, tuple)) else ()
    for child in list(children):
        yield from _nodes(child)
