"""What a config's options may be: keys that something reads, and values of the kind that it takes."""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import SequenceMatcher, get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import mmengine.registry
import mmseg.registry
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner
from mmengine.utils.dl_utils import set_multi_processing
from mmengine.visualization import Visualizer
from torch.utils.data import DataLoader

from ...models.encoders.text import HFTokenizer
from ...tf32 import set_tf32

TOP = {
    *(name for name in inspect.signature(Runner.__init__).parameters if name not in ('self', 'cfg')),
    *('activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval', 'find_unused_parameters'),
    *('data_root', 'model_wrapper_cfg', 'published', 'strategy', 'sync_bn'),
}
"""What mmengine's runner and our tools read of a config."""


def fit_options(cfg: Mapping, options: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Check options against the config that they change, before they do.

    A key must stand in the config, or be an argument of the part that it would go to. A single word is taken as a list
    where one of words is expected, and a number as a text where a path is.

    Args:
        options: by dotted key.
        texts: as the values were written, where they were.

    Returns:
        options with the values that fit.

    Raises:
        ValueError: a key that nothing reads, with the nearest one that is; a value of another kind than expected.
    """
    types = {key.removesuffix('.type'): value for key, value in options.items() if key.endswith('.type')}
    fitted = {}
    for key, value in options.items():
        current, hint = _place(cfg, key, types)
        try:
            fitted[key] = _fit(key, value, current, hint, texts.get(key))
        except ValueError as error:
            raise ValueError(f'--cfg-options {key}={texts.get(key, value)}: {error}') from error
    return fitted


MISSING = object()
_ELSEWHERE = dict(
    launcher='it is an option of its own, --launcher',
    custom_imports='modules are imported while a config is read; name them in a config file',
)
"""What is read before or beside these options, which would change nothing."""


def _place(cfg: Mapping, key: str, types: Mapping[str, Any]) -> tuple[Any, Any]:
    """The value of a key now, MISSING if there is none, and the annotation of the argument that it becomes, or None.

    Raises:
        ValueError: nothing reads it.
    """
    node: Any = cfg
    parts = key.split('.')
    if parts[0] in _ELSEWHERE:
        raise ValueError(f'--cfg-options {key}: {_ELSEWHERE[parts[0]]}')
    if parts[0] in cfg and parts[0] not in TOP:
        raise ValueError(_copied(cfg, key))
    for i, part in enumerate(parts):
        path = parts[:i]
        if isinstance(node, (list, tuple)):
            if not isinstance(node, list) or not part.isdigit():
                raise ValueError(f'--cfg-options {key}: {".".join(path)} is a list; set it as a whole')
            if int(part) >= len(node):
                have = f'0 to {len(node) - 1}' if node else 'none'
                raise ValueError(f'--cfg-options {key}: no {part} in {".".join(path)}; there are {have}')
            node, hint = node[int(part)], None
        elif isinstance(node, Mapping):
            reader = _reader(path, node, types)
            if part not in node and not _reads(reader, path, node, part, types):
                raise ValueError(_unknown(cfg, key, i, set(node) | arguments(reader)[0]))
            hint = _hints(reader).get(part)
            node = node[part] if part in node else ({} if i + 1 < len(parts) else MISSING)
        else:
            raise ValueError(f'--cfg-options {key}: {".".join(path)} is {node!r}, which has nothing below it')
    return node, hint


def _reader(path: list[str], node: Mapping, types: Mapping[str, Any]) -> Callable | None:
    """What gets the settings of a node as arguments; None: not known, or nothing does."""
    kind = types.get('.'.join(path), node.get('type'))
    if kind is not None:
        return registered_part(kind)
    names = {
        '': Runner,
        'env_cfg.mp_cfg': set_multi_processing,
        'env_cfg.tf32': set_tf32,
        'log_processor': LogProcessor,
        'optim_wrapper': OptimWrapper,
        'optim_wrapper.paramwise_cfg': _paramwise,
        'randomness': Runner.set_randomness,
        'train_cfg': IterBasedTrainLoop if node.get('by_epoch') is False else EpochBasedTrainLoop,
        'visualizer': Visualizer,
        'model.data_preprocessor.tokenizer': HFTokenizer,
    }
    found: Callable | None = names.get('.'.join(path))
    return DataLoader if len(path) == 1 and path[0].endswith('_dataloader') else found


def _paramwise(
    custom_keys: dict | None = None,
    bias_lr_mult: float = 1,
    bias_decay_mult: float = 1,
    norm_decay_mult: float = 1,
    flat_decay_mult: float = 1,
    dwconv_decay_mult: float = 1,
    dcn_offset_lr_mult: float = 1,
    bypass_duplicate: bool = False,
) -> None:
    """What ``DefaultOptimWrapperConstructor`` reads of ``paramwise_cfg``, which it takes as a dict."""


_BESIDE = {
    r'': TOP,
    r'\w+_dataloader': {'dataset', 'batch_sampler', 'num_batch_per_epoch', 'worker_init_fn', 'collate_fn'},
    r'optim_wrapper': {'optimizer', 'paramwise_cfg', 'constructor', 'loss_scale', 'dtype', 'use_fp16'},
    r'optim_wrapper\.clip_grad': {'type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'},
    r'(train|val|test)_cfg': {'by_epoch', 'fp16'},
    r'param_scheduler(\.\d+)?': {'convert_to_iter_based'},
    r'default_hooks': {'runtime_info', 'timer', 'logger', 'param_scheduler', 'checkpoint', 'sampler_seed'},
    r'(default|custom)_hooks\.\w+': {'priority'},
    r'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit', 'tf32'},
    r'env_cfg\.dist_cfg': {'backend', 'timeout', 'init_backend', 'port', 'device_id'},
    r'auto_scale_lr': {'enable', 'base_batch_size'},
    r'strategy': {'type', 'min_params', 'stage'},
    r'custom_imports': {'imports', 'allow_failed_imports'},
}
"""What is read beside the arguments of a part, by the place in the config."""


def _reads(reader: Callable | None, path: list[str], node: Mapping, part: str, types: Mapping[str, Any]) -> bool:
    """Whether a key that does not stand in a node may be put there."""
    place = '.'.join(path)
    beside = next((names for pattern, names in _BESIDE.items() if re.fullmatch(pattern, place)), None)
    if part in ('type', '_scope_', '_delete_') or part in (beside or ()):
        return True
    if place == 'default_hooks':  # a new one, of any name
        return f'{place}.{part}' in types
    if place == 'model.text_encoder.config':
        return _is_in_architecture(node, part)
    if reader is None:  # a dict of free names, such as those of results; what nobody registered shows when it is built
        return beside is None
    names, takes_more = arguments(reader)
    return part in names or (takes_more and not get_close_matches(part, names | set(node), n=1, cutoff=0.8))


def _is_in_architecture(node: Mapping, part: str) -> bool:
    """transformers takes any name, and reads those that it knows."""
    import transformers

    try:
        return hasattr(transformers.AutoConfig.for_model(node['model_type']), part)
    except (KeyError, ValueError):
        return True  # the model says what is wrong


def registered_part(kind: Any) -> Callable | None:
    """A class or a function by its registered name, or as it stands in a config of pure Python; None: not known."""
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    name = kind.split('.')[-1]
    for module in (mmseg.registry, mmengine.registry):
        for registry in (value for value in vars(module).values() if isinstance(value, Registry)):
            if name in registry.module_dict:
                return registry.module_dict[name]
    return None


def arguments(part: Callable | None) -> tuple[set[str], bool]:
    """The names of the arguments of a part, those of its bases included to which it hands on what it does not know
    itself; and whether it takes still others."""
    names: set[str] = set()
    for function in _functions(part):
        parameters = inspect.signature(function).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {'self'}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names, False
    return names, part is not None


def _functions(part: Callable | None) -> Iterator[Callable]:
    if inspect.isclass(part):
        yield from (vars(base)['__init__'] for base in part.__mro__[:-1] if '__init__' in vars(base))
    elif part is not None:
        with suppress(ValueError):  # built into Python
            inspect.signature(part)
            yield part


def _hints(part: Callable | None) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for function in _functions(part):
        with suppress(Exception):  # names that only a type checker sees
            hints = {**get_type_hints(function), **hints}
    return hints


# Values


_PER_STAGE = re.compile(r'model\.neck\.(attention|refine|weigh)\.')
"""Where a list gives each stage a value of its own."""
_PATH = re.compile(r'(?:.*_)?(?:root|folder|file|dir|path|prefix|checkpoint|pretrained|from|name|split|split_by)')


def _fit(key: str, value: Any, current: Any, hint: Any, text: str | None) -> Any:
    """The value, as it is expected; see :func:`fit_options`."""
    kinds = _kinds(hint)
    name = key.split('.')[-1]
    if name in _LEAST:
        return _whole(value, _LEAST[name])
    if isinstance(value, (list, tuple)) and _PER_STAGE.match(key):
        return type(value)(_fit(key, one, current, hint, None) for one in value)
    if value is None:
        if (kinds and kinds <= {int, float, bool, str} and current is not None) or key == 'data_root':
            raise ValueError(f'expected {_words(kinds or {str})}, not None')
        return None
    if isinstance(value, str) and _is_list_of_words(current, hint):
        return (value,) if isinstance(current, tuple) or current is MISSING else [value]
    is_text = isinstance(current, str) or key == 'data_root' or (kinds and kinds <= {str, NoneType})
    if is_text and text is not None and isinstance(value, (bool, int, float)) and _PATH.fullmatch(name):
        return text  # a folder may be called 2014, or true
    if is_text and isinstance(value, (list, tuple)) and (_PATH.fullmatch(name) or kinds) and not _takes_lists(hint):
        raise ValueError(f'expected one text; a text with commas or brackets needs quotes: {key}=\'"{text}"\'')
    if (
        isinstance(current, Mapping)
        and current
        and isinstance(value, (str, int, float))
        and not isinstance(value, bool)
    ):
        raise ValueError(f'expected settings, of which each has a key of its own, such as {key}.{next(iter(current))}')
    per_stage = _PER_STAGE.match(key) is not None  # one value to all stages
    if isinstance(current, (list, tuple)) and current and _is_number(value) and not (_takes_numbers(hint) or per_stage):
        raise ValueError(f'expected a list such as {_short(current)}, not a number')
    return _fit_number(value, current, kinds)


_LEAST = dict(batch_size=1, num_workers=0, max_epochs=1, max_iters=1, val_interval=1, max_tokens=3)
"""Whole numbers, and the smallest that can be meant; a sentence has its two marks and a word."""


def _whole(value: Any, least: int) -> int:
    whole = _is_number(value) and float(value).is_integer()
    if not whole or value < least:
        raise ValueError(f'expected a whole number, {least} or more, not {_short(value)}')
    return int(value)


def _fit_number(value: Any, current: Any, kinds: set) -> Any:
    simple = kinds - {NoneType}
    numbers = simple <= {int, float, bool} if simple else isinstance(current, (bool, int, float))
    expected = simple or {bool if isinstance(current, bool) else float}
    wrong = isinstance(value, str) or (simple and isinstance(value, (list, tuple, Mapping)))
    if numbers and (wrong or (expected == {bool} and value not in (0, 1))):
        raise ValueError(f'expected {_words(expected)}, not {_words({type(value)})}')
    if numbers and expected <= {int, bool} and isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f'expected a whole number, not {value}')
        return int(value)
    if isinstance(current, (list, tuple)) and current and isinstance(value, str):
        raise ValueError(f'expected a list such as {_short(current)}, not a text')
    return value


def _takes_numbers(hint: Any) -> bool:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return bool({int, float} & set(options))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else f'{text[:60]}...'


def _kinds(hint: Any) -> set:
    """The types that an annotation names; none, where one is not plain."""
    kinds = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint} - {None}
    return kinds if kinds <= {int, float, bool, str, NoneType} else set()


def _takes_lists(hint: Any) -> bool:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return any(
        inspect.isclass(o := get_origin(option) or option) and issubclass(o, Collection) and o is not str
        for option in options
    )


def _is_list_of_words(current: Any, hint: Any) -> bool:
    if isinstance(current, (list, tuple)) and current:
        return all(isinstance(word, str) for word in current)
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    lists = [o for o in options if get_origin(o) in (list, tuple, Sequence, Collection) and str in get_args(o)]
    return bool(lists) and str not in options


_WORDS: dict[type, str] = {
    **{int: 'a whole number', float: 'a number', bool: 'True or False', str: 'a text', NoneType: 'None'},
    **{list: 'a list', tuple: 'a list', dict: 'settings'},
}


def _words(kinds: Collection) -> str:
    return ' or '.join(
        dict.fromkeys(_WORDS.get(kind, 'a list' if kind in (list, tuple) else str(kind)) for kind in kinds)
    )


# What to say of keys


def _unknown(cfg: Mapping, key: str, i: int, beside: set[str]) -> str:
    """That nothing reads a key, whose part ``i`` is the first unknown one, and the nearest ones that something does."""
    parts = key.split('.')
    said = f'--cfg-options {key}: nothing reads this key'
    near = get_close_matches(parts[i], beside, n=1, cutoff=0.6)
    if i and not near:
        return f'{said}; {".".join(parts[:i])} has {", ".join(sorted(beside - {"type"}))}'
    meant = ['.'.join([*parts[:i], near[0], *parts[i + 1 :]])] if i else _nearest(cfg, key)
    return f'{said}; did you mean {" or ".join(meant)}?'


def _nearest(cfg: Mapping, key: str) -> list[str]:
    """Those with the same last name, or with one that is like it; else the one that is most like the whole."""
    keys = [path for path, _ in _nodes(cfg) if path.split('.')[0] in TOP]
    keys += sorted(TOP - set(keys))
    last = [path.split('.')[-1] for path in keys]
    asked = key.split('.')[-1]
    names = [asked] if asked in last else get_close_matches(asked, {*last}, n=1, cutoff=0.7)
    same = [path for path, name in zip(keys, last, strict=True) if name in names]
    return same[:3] or [max(keys, key=lambda path: SequenceMatcher(None, key, path).ratio())]


def _copied(cfg: Mapping, key: str) -> str:
    """That a variable of a config changes nothing any more, and where its value went."""
    name, *rest = key.split('.')
    variable = cfg[name]
    places = [path for path, value in _nodes(cfg) if path.split('.')[0] in TOP and _holds(value, variable)]
    inner = [place for place in places if not any(other.startswith(f'{place}.') for other in places)]
    said = f'--cfg-options {key}: {name} is a variable of the config, whose value was copied when the config was read'
    if not inner:
        return f'{said}; did you mean {" or ".join(_nearest(cfg, key))}?'
    return f'{said}; set it where it went: {", ".join(".".join([place, *rest]) for place in inner[:6])}'


def _holds(value: Any, variable: Any) -> bool:
    if isinstance(variable, Mapping) and isinstance(value, Mapping):
        return bool(variable) and all(key in value and value[key] == item for key, item in variable.items())
    return type(value) is type(variable) and value == variable


def _nodes(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All dotted keys of a config with their values."""
    pairs: Any = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield '.'.join([*path, str(key)]), value
        yield from _nodes(value, (*path, str(key)))
