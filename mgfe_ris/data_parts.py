"""The data sets inside of wrappers, mmengine's and torch's in any order: of configs, and of what is built of them.

Configs name inner data sets in ``dataset`` or ``datasets``, and built wrappers keep them there: whatever has neither is
a part.
"""

from bisect import bisect_right
from copy import deepcopy
from typing import Any


def config_parts(dataset: dict) -> list[dict]:
    """The configs inside of all wrappers."""
    inner = _inner_configs(dataset)
    return [part for one in inner for part in config_parts(one)] if inner else [dataset]


def with_changed_parts(dataset: dict, **changes: Any) -> dict:
    """A copy of a config, with these settings in each of its parts."""
    dataset = deepcopy(dataset)
    for part in config_parts(dataset):
        part.update(changes)
    return dataset


def lazy(dataset: dict) -> dict:
    """A copy of a config of which neither a part nor a wrapper reads anything when it is built."""
    dataset = deepcopy(dataset)
    waiting = [dataset]
    while waiting:
        one = waiting.pop()
        one['lazy_init'] = True
        waiting += _inner_configs(one)
    return dataset


def split_names(split: Any) -> tuple[str, ...]:
    """The names in a config's ``split``, which is one or a list.

    Raises:
        ValueError: it is neither, or empty, or a name comes twice, or is none of a file, which tests write by it.
    """
    names = (split,) if isinstance(split, str) else tuple(split) if isinstance(split, (list, tuple)) else ()
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ValueError(f'split must be the name of a split, or a list of different ones; got {split!r}')
    if wrong := [name for name in names if not name.strip('.') or set('/\\:\0') & set(name)]:
        raise ValueError(f'split {wrong[0]!r}: tests write files of this name; take out slashes and colons')
    return names


def parts_of(dataset: Any) -> list:
    """The data sets inside of all wrappers, in order; one that stands in two places comes twice."""
    if (inner := getattr(dataset, 'datasets', None)) is not None:
        return [part for one in inner for part in parts_of(one)]
    inner = getattr(dataset, 'dataset', None)
    return [dataset] if inner is None else parts_of(inner)


def split_of(dataset: Any) -> str:
    """What a data set calls its split; those of its parts: ``val+test``."""
    return '+'.join(dict.fromkeys(part.metainfo['split'] for part in parts_of(dataset)))


def locate(dataset: Any, i: int) -> tuple[Any, int]:
    """The part that sample ``i`` is of, and the sample's number there.

    Raises:
        TypeError: a wrapper that is neither torch's nor tells this as mmengine's do.
    """
    from torch.utils.data import ConcatDataset, Subset  # reading annotations, which names splits, needs no torch

    if isinstance(dataset, Subset):
        return locate(dataset.dataset, int(dataset.indices[i]))
    if hasattr(dataset, '_get_ori_dataset_idx'):
        found = dataset._get_ori_dataset_idx(i)
        if isinstance(found, tuple):
            return locate(dataset.datasets[found[0]], found[1])
        return locate(dataset.dataset, found)
    if isinstance(dataset, ConcatDataset):
        i = range(len(dataset))[i]
        part = bisect_right(dataset.cumulative_sizes, i)
        return locate(dataset.datasets[part], i - (dataset.cumulative_sizes[part - 1] if part else 0))
    if parts_of(dataset) != [dataset]:
        raise TypeError(f'{type(dataset).__name__} does not tell which of its parts a sample is of')
    return dataset, i


def _inner_configs(dataset: dict) -> list[dict]:
    inner = dataset.get('datasets') or ([dataset['dataset']] if dataset.get('dataset') else [])
    return [one for one in inner if isinstance(one, dict)]
