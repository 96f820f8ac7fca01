"""Whether a training goes on with the settings and samples that it began with: configs are compared as data, and never
run."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from ..data_parts import parts_of
from ..datasets.selection import Samples

_DECISIVE = (
    *('model', 'optim_wrapper', 'param_scheduler', 'randomness', 'auto_scale_lr', 'train_dataloader', 'batch_samples'),
    *('train_cfg', 'val_dataloader.dataset', 'val_evaluator'),
)
"""Where a change makes another training: of weights, optimizer, schedule, data, or of what is called the best."""
_HARMLESS = (
    # where and how fast, but not what: the samples and their order depend on none of it
    r'(train|val)_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor|timeout|worker_init_fn).*',
    # the product of batch size and processes is a setting of its own
    r'train_dataloader\.batch_size',
    r'train_cfg\.(max_epochs|max_iters|val_\w+|dynamic_intervals.*)',
    r'randomness\.deterministic',
    r'model\.compile.*',
    r'model\.(.*\.)?(init_cfg|pretrained)(\..*)?',  # what it began with is in the checkpoint no more
    r'auto_scale_lr\.base_batch_size',  # of no effect unless enabled; see _effective
)
_NOT_COMPARED = ('experiment_name', 'launcher', 'load_from', 'resume')
"""Said by the command of each start."""


@dataclass(frozen=True)
class Change:
    """Of one setting.

    Attributes:
        key: dotted.
        old, new: in JSON; None where it is missing.
    """

    key: str
    old: str | None
    new: str | None

    @property
    def is_decisive(self) -> bool:
        """Whether the training that goes on would be another one."""
        decisive = any(self.key == name or self.key.startswith(f'{name}.') for name in _DECISIVE)
        return decisive and not any(re.fullmatch(pattern, self.key) for pattern in _HARMLESS)

    def __str__(self) -> str:
        return f'{self.key}: {_short(self.old)} -> {_short(self.new)}'


def settings_as_json(cfg: Config, processes: int) -> str:
    """The settings of a training, for its checkpoints: what JSON does not hold, by its text."""
    settings = {key: value for key, value in cfg.to_dict().items() if key not in _NOT_COMPARED}
    batch = (settings.get('train_dataloader') or {}).get('batch_size')
    if isinstance(batch, int):
        settings['batch_samples'] = batch * processes
    scaling = settings.get('auto_scale_lr')
    if isinstance(scaling, dict) and not scaling.get('enable'):
        settings['auto_scale_lr'] = dict(enable=False)  # the rest has no effect
    return json.dumps(settings, sort_keys=True, default=str)


def changes_of(old: Any, new: str) -> list[Change] | None:
    """What differs between settings, each as :func:`settings_as_json` writes them, those that are decisive first.

    None: ``old`` is of an older version, or no settings, and cannot be compared.
    """
    try:
        before = json.loads(old)
    except (TypeError, ValueError):
        return None
    if not isinstance(before, dict):
        return None
    changes = list(_differences('', before, json.loads(new)))
    return sorted(changes, key=lambda change: not change.is_decisive)


def samples_of(dataset: Any) -> str:
    """How many samples a data set has, and a hash of what its annotations say of them; only how many, where a part of
    it is not of ours. Photos, and masks that are PNGs, are not read."""
    kept = [getattr(part, 'data_list', None) for part in parts_of(dataset)]
    known = [samples.fingerprint() for samples in kept if isinstance(samples, Samples)]
    said = f'{len(dataset)} samples'
    if len(known) < len(kept):
        return said
    return f'{said}, {hashlib.md5("".join(known).encode(), usedforsecurity=False).hexdigest()[:8]}'


def changed_samples(old: Any, new: dict[str, str]) -> list[Change]:
    """What differs between :func:`samples_of` ``train`` and ``val``; nothing, where the older is not said."""
    if not isinstance(old, dict):
        return []
    return [
        Change(f'{name}_dataloader.dataset', json.dumps(old[name]), json.dumps(now))
        for name, now in new.items()
        if isinstance(old.get(name), str) and old[name] != now
    ]


_MISSING = object()


def _differences(key: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _differences(f'{key}.{name}' if key else name, old.get(name, _MISSING), new.get(name, _MISSING))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f'{key}.{place}', before, now)
    elif old is _MISSING or new is _MISSING or old != new or type(old) is not type(new):
        yield Change(key, *(None if value is _MISSING else json.dumps(value) for value in (old, new)))


def _short(value: str | None, most: int = 60) -> str:
    if value is None:
        return 'not set'
    return value if len(value) <= most else f'{value[: most - 3]}...'
