"""Configs as every tool reads them."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config
from mmengine.utils import get_object_from_string

from ...data_parts import config_parts
from ...engine.checkpoints import BEST, LAST, best_in, last_checkpoint_in, nothing_in, resumable_in
from ...packaged import packaged
from .json_config import nodes_of, read_json
from .option_keys import fit_options, registered_part
from .option_texts import parse_options

CONFIG_ROOT = packaged('configs')

CONFIG, WEIGHTS = 'config.json', 'model.safetensors'
"""The files of a model's folder, see ``save_folder``."""


def load_config(
    config: str | Path,
    options: dict | Sequence[str] | None = None,
    from_scratch: bool = False,
    data_root: str | None = None,
    base: str | None = None,
) -> Config:
    """Read a config file.

    Args:
        config: a path, the name of one of ours (``mgfe-ris_tiny_refshapes``), or a folder with a model.
        options: changes by dotted key; or texts ``key=value``, as ``--cfg-options`` gives them. ``data_root`` reaches
            every data set of the config, not only the variable of that name.
        from_scratch: name no weights and no tokenizer of a hub: random weights, built-in vocabulary.
        data_root: short for ``options['data_root']``.
        base: the file, and those that it inherits from, as changes of this config in the place of the last one in
            their chain: the same row of another model or data set.

    Raises:
        FileNotFoundError: no such file or name; the message lists the names there are.
        ValueError: an option that is no ``key=value``, that nothing reads or that is of another kind; a config that
            imports what is not there; a JSON config that is broken, or that names anything but our parts; ``base`` of
            a file that does not inherit from one.
    """
    parsed = {} if isinstance(options, dict) else parse_options(options or ())
    options = dict(options) if isinstance(options, dict) else {key: value for key, (value, _) in parsed.items()}
    path = find_config(config)
    try:
        cfg = _read(path) if base is None else _read_on_base(path, find_config(base))
    except ImportError as error:
        raise ValueError(
            f'{path}: {error.__cause__ or error}; put the folder of what it imports on PYTHONPATH'
        ) from error
    if data_root is not None:
        options['data_root'] = data_root
    options = fit_options(cfg._cfg_dict, options, {key: text for key, (_, text) in parsed.items()})
    _merge(cfg, options)
    if 'data_root' in options:
        set_everywhere(cfg._cfg_dict, 'data_root', options['data_root'])
    _agree(cfg)
    return without_pretrained(cfg) if from_scratch else cfg


def _merge(cfg: Config, options: dict) -> None:
    """All at once, as mmengine has it: ``_delete_`` belongs to the settings beside it, in any order."""
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError) as error:  # settings below what has none
        raise ValueError(f'--cfg-options {", ".join(options)}: {error.args[0]}') from error


def _agree(cfg: Config) -> None:
    """Settings that follow from others: what only workers have without workers, and one name where a list is read.

    Names of parts are mmseg's, unless the config says another scope.
    """
    cfg.setdefault('default_scope', 'mmseg')
    for name in ('train', 'val', 'test'):
        loader = cfg.get(f'{name}_dataloader') or {}
        if loader.get('num_workers') == 0:
            loader.pop('prefetch_factor', None)
            if loader.get('persistent_workers'):
                loader['persistent_workers'] = False
        sampler = loader.get('sampler') or {}
        if name != 'train' and sampler.get('type') == 'DefaultSampler':
            sampler['round_up'] = False  # else several processes test some samples twice
    for key in ('splits', 'shuffled'):
        tested = cfg.get('test_cfg') or {}
        if isinstance(tested.get(key), str):
            tested[key] = (tested[key],)


def _read(path: Path) -> Config:
    return read_json(path) if path.suffix == '.json' else _with_names(Config.fromfile(path))


def _with_names(cfg: Config) -> Config:
    """Parts by their registered names, where a config in pure Python names classes, or one that was dumped
    ``module.Class``: one form for all that reads configs, and one that JSON can hold.

    A class whose name alone means another one is named with its module.
    """
    for node in nodes_of(cfg._cfg_dict):
        kind = node.get('type')
        part = get_object_from_string(kind) if isinstance(kind, str) and '.' in kind else kind
        name = getattr(part, '__name__', None)
        if name and registered_part(name) is part:
            node['type'] = name
    return Config(cfg.to_dict(), filename=cfg.filename)


def _read_on_base(path: Path, base: Path) -> Config:
    """A config whose chain of ``_base_ = '...'`` ends in ``base`` in the place of its own last file."""
    with TemporaryDirectory() as folder:
        cfg = Config.fromfile(_copy_on_base(path, base, Path(folder)))
    return Config(cfg.to_dict(), filename=str(path))


_BASE = re.compile(r"(?m)^_base_ = '([^']*)'$")


def _copy_on_base(path: Path, base: Path, folder: Path) -> Path:
    text = path.read_text(encoding='utf-8')
    found = _BASE.search(text)
    if found is None:
        raise ValueError(f"{path}: expected a line _base_ = '...', in whose place {base} would be read")
    parent = path.parent / found[1]
    chained = parent.is_file() and _BASE.search(parent.read_text(encoding='utf-8'))
    end = _copy_on_base(parent, base, folder) if chained else base.resolve()
    copy = folder / path.name
    copy.write_text(_BASE.sub(lambda _: f'_base_ = {str(end)!r}', text), encoding='utf-8')
    return copy


def find_config(name: str | Path) -> Path:
    """The path of a config given by path or by the name of one of ours; see :func:`load_config`."""
    if Path(name).is_file():
        if Path(name).suffix not in ('.py', '.json', '.yaml', '.yml'):
            raise ValueError(f'{name}: no config, which ends in .py or .json; checkpoints end in .pth or .safetensors')
        return Path(name)
    if str(name) and Path(name).is_dir():
        return config_in(name)
    ours = {path.stem: path for path in sorted(CONFIG_ROOT.glob('[!_]*/*.py'))}
    if not ours:
        raise FileNotFoundError(
            f'{name}: no such config file or folder, and ours are not in {CONFIG_ROOT}, where they belong; name a '
            'file, or install the package anew'
        )
    try:
        return ours[str(name).removesuffix('.py')]
    except KeyError:
        near = get_close_matches(str(name), ours, n=3)
        meant = f'Did you mean {" or ".join(near)}?' if near else f'Ours are {", ".join(ours)}'
        raise FileNotFoundError(f'{name}: no such config file or folder. {meant}') from None


def config_in(folder: str | Path) -> Path:
    """The config that ``save_folder``, or training, left in a folder.

    A Python config is code, and run when it is read: only one that stands beside what training wrote is taken.

    Raises:
        FileNotFoundError: there is none, or several.
    """
    folder = Path(folder)
    trained = (folder / LAST).is_file() or any(folder.glob(BEST)) or resumable_in(folder)
    if (folder / CONFIG).is_file():
        return folder / CONFIG
    if not trained or (folder / WEIGHTS).is_file():
        raise FileNotFoundError(f'{folder}: expected {CONFIG}; name the one you mean')
    found = sorted(folder.glob('*.py'))
    if len(found) != 1:
        raise FileNotFoundError(
            f'{folder}: expected one file *.py, found {[path.name for path in found]}, and no {CONFIG}; name the one '
            'you mean'
        )
    return found[0]


def weights_in(path: str | Path) -> str | Path:
    """The weights that ``save_folder``, or training, left in a folder; what is no folder is given back.

    Of a training's: the best, or, where it did not validate, the last. Files that are not whole are passed over, and
    named in the log.

    Raises:
        FileNotFoundError: there are none in the folder, or several that were the best.
        ValueError: none of several is whole.
    """
    folder = Path(path)
    if not folder.is_dir():
        return path
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    if best := best_in(folder):
        return best
    broken = sorted(folder.glob(BEST))
    if resumable_in(folder):
        return last_checkpoint_in(folder)
    if broken:
        return broken[-1]  # whoever reads it says what is wrong
    if (folder / LAST).is_file():
        raise FileNotFoundError(nothing_in(folder))
    raise FileNotFoundError(f'{folder}: expected one file {BEST}, found [], and no {WEIGHTS}; name the one you mean')


def input_size(cfg: Config) -> tuple[int, int]:
    """(height, width) of the photos that the model gets when it is tested, in pixels.

    Raises:
        ValueError: the test pipeline has no ``Resize`` to a size of its own, or several.
    """
    scales = _scales(input_pipeline(cfg))
    if len(scales) != 1 or not isinstance(scales[0], (list, tuple)):
        raise ValueError(f'expected one Resize with scale=(width, height) in the test pipeline, got scales {scales}')
    width, height = scales[0]
    return height, width


def input_pipeline(cfg: Config) -> list[dict]:
    """What photos go through when the model is tested.

    Raises:
        ValueError: it is tested on several data sets, whose photos are resized to different sizes.
    """
    pipelines = [part.get('pipeline', []) for part in config_parts(cfg.test_dataloader.dataset)]
    sizes = [_scales(one) for one in pipelines]
    if any(size != sizes[0] for size in sizes):
        raise ValueError(f'the data sets of the test resize photos differently, to scales {sizes}; set them alike')
    return pipelines[0]


def _scales(pipeline: Sequence[dict]) -> list:
    """Of its ``Resize`` steps, also those inside of others; by name or, in a config of pure Python, by module."""
    return [step.get('scale') for step in nodes_of(pipeline) if str(step.get('type')).split('.')[-1] in _RESIZES]


_RESIZES = ('Resize', 'Letterbox', 'FitAndPad')


def without_pretrained(cfg: Config) -> Config:
    """The same config with random weights and the built-in vocabulary, which needs no network and no file.

    Every ``pretrained`` becomes None, and every ``init_cfg`` of type ``Pretrained``.
    """
    set_everywhere(cfg._cfg_dict, 'pretrained', None)
    _drop_pretrained_init(cfg._cfg_dict)
    text = cfg.get('model', {}).get('text_encoder', {})
    if text.get('config'):
        text.config.pad_token_id = 0  # the built-in vocabulary's; RoBERTa's own has 1
    if text.get('trainable_layers') == 0:
        text.trainable_layers = None  # to keep random words would teach nothing
    return cfg


def set_everywhere(root: Any, key: str, value: Any) -> None:
    """Set ``key`` wherever it stands in a tree of dicts."""
    for node in nodes_of(root):
        if key in node:
            node[key] = value


def names_pretrained(root: Any) -> bool:
    """Whether weights, or a tokenizer, are read from elsewhere: what :func:`without_pretrained` takes out."""
    return any(node.get('pretrained') or node.get('type') == 'Pretrained' for node in nodes_of(root))


def learns_all_words(cfg: Config) -> bool:
    """Whether a training of it starts from weights that know no word; what a tokenizer knows are no meanings."""
    parts = {name: part for name, part in cfg.model.items() if name not in ('encoder', 'data_preprocessor')}
    return not cfg.get('load_from') and not names_pretrained(parts)


def _drop_pretrained_init(root: Any) -> None:
    for node in nodes_of(root):
        if node.get('init_cfg'):
            steps = node['init_cfg'] if isinstance(node['init_cfg'], (list, tuple)) else [node['init_cfg']]
            kept = [step for step in steps if step['type'] != 'Pretrained']
            if len(kept) < len(steps):
                node['init_cfg'] = kept or None
