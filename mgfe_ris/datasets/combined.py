"""Several data sets as one."""

import re
from collections.abc import Sequence
from typing import Any

import mmengine.dataset
import numpy as np
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS
from torch.utils.data import ConcatDataset as TorchConcatDataset

from ..data_parts import lazy, parts_of
from .index import SharedIndex
from .referring import ReferringDataset
from .selection import photos_of, select_objects

_MAY_DIFFER = ('split', 'protocol')


@DATASETS.register_module()
class ConcatDataset(mmengine.dataset.ConcatDataset):
    """mmengine's, of data sets that may differ in their split and protocol, and of wrappers in any order.

    ``metainfo`` is that of the first, with the splits of all, ``train+val``, and in ``protocol`` under ``parts`` which
    data each part is and its protocol. A packed sample says the number of its ``part``.

    Args:
        datasets: configs, or data sets.
        lazy_init, ignore_keys: mmengine's.

    Raises:
        ValueError: none; another part of the metainfo differs.
    """

    def __init__(
        self, datasets: Sequence, lazy_init: bool = False, ignore_keys: str | Sequence[str] | None = None
    ):  # not mmengine's: it refuses wrappers, and parts that differ
        if not datasets:
            raise ValueError('datasets is empty; name one or more')
        self.datasets = [DATASETS.build(one) if isinstance(one, dict) else one for one in datasets]
        self.ignore_keys = [ignore_keys] if isinstance(ignore_keys, str) else list(ignore_keys or ())
        self._check_alike()
        for number, part in enumerate(parts_of(self)):
            if isinstance(part, ReferringDataset):
                part.part = number
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Read all that is not read yet."""
        if not self._fully_initialized:
            for one in (*parts_of(self), *self.datasets):
                if hasattr(one, 'full_init'):
                    one.full_init()
            TorchConcatDataset.__init__(self, self.datasets)
            self._fully_initialized = True

    @property
    def metainfo(self) -> dict:
        """See the class."""
        parts = parts_of(self)
        infos = [getattr(part, 'metainfo', {}) for part in parts]
        splits = dict.fromkeys(info['split'] for info in infos if 'split' in info)
        protocols = [
            {**getattr(part, 'origin', {}), **info.get('protocol', {})} for part, info in zip(parts, infos, strict=True)
        ]
        return {**infos[0], 'split': '+'.join(splits), 'protocol': dict(parts=protocols)}

    def get_cat_ids(self, idx: int) -> list[int]:
        """Categories of a sample, for mmengine's ``ClassBalancedDataset``."""
        number, idx = self._get_ori_dataset_idx(idx)
        return self.datasets[number].get_cat_ids(idx)

    def _check_alike(self) -> None:
        infos = [getattr(part, 'metainfo', {}) for part in parts_of(self)]
        for key in dict.fromkeys(key for info in infos for key in info):
            if key not in (*_MAY_DIFFER, *self.ignore_keys):
                differ = [info.get(key) for info in infos if not _same(info.get(key), infos[0].get(key))]
                if differ:
                    raise ValueError(
                        f'the data sets of a ConcatDataset differ in {key} of their metainfo: {infos[0].get(key)!r} '
                        f'and {differ[0]!r}; give them the same, or name it in ignore_keys'
                    )


@DATASETS.register_module()
class RepeatDataset(mmengine.dataset.RepeatDataset):
    """mmengine's, which ``ClassBalancedDataset`` may hold, too."""

    def get_cat_ids(self, idx: int) -> list[int]:
        """Categories of a sample."""
        return self.dataset.get_cat_ids(self._get_ori_dataset_idx(idx))


@DATASETS.register_module()
class MixedDataset(ConcatDataset):
    """Several data sets to train on, without any photo that one of them holds in another split, as val or test.

    All splits of the files of all parts count, but those trained on. Photos are the same if the number that COCO gave
    them is, which their names hold (``COCO_train2014_000000000009.jpg``, a crop ``..._9.jpg`` of it,
    ``000000000009.jpg``); others, if their names in the folder of photos are. Ids in the files are not compared: own
    data count theirs from 0.

    How many photos and refs of a part are left out, and for which split of which part, stands in its protocol under
    ``left_out``, and so in a test's report.

    Args:
        datasets: configs of ``ReferringDataset``, in wrappers or not; or such data sets.
        lazy_init: look at no photo yet; the annotations are read.

    Raises:
        ValueError: a part of another kind; a part of which nothing is left.
    """

    def __init__(self, datasets: Sequence, lazy_init: bool = False):
        parts = [DATASETS.build(lazy(one)) if isinstance(one, dict) else one for one in datasets]
        for one in parts:
            unread = isinstance(one, ReferringDataset) or not getattr(one, '_fully_initialized', True)
            if not unread or not all(isinstance(part, ReferringDataset) for part in parts_of(one)):
                raise ValueError(
                    f'a part of a MixedDataset must be a ReferringDataset, or a config; got {type(one).__name__}'
                )
        super().__init__(parts, lazy_init=True)
        _set_apart(parts_of(self))
        if not lazy_init:
            self.full_init()


def _set_apart(parts: Sequence[ReferringDataset]) -> None:
    """Leave out of each part what any holds out."""
    named = [photo_names(part.index) for part in parts]
    numbers = np.unique(np.concatenate(named), return_inverse=True)[1]  # a number for each name
    photos = np.split(numbers, np.cumsum([len(names) for names in named])[:-1])
    trained: dict[tuple, set[str]] = {}
    for part in parts:
        trained.setdefault(_files(part), set()).update(part.splits)
    held = [
        ({**part.origin, 'split': split}, number[photos_of(part.index, split)])
        for part, number in zip(parts, photos, strict=True)
        for split in sorted(set(part.index.splits) - trained[_files(part)])
    ]
    for part, number in zip(parts, photos, strict=True):
        photo = part.index.photo[select_objects(part.index, part.selection())]
        shared = [(origin, np.isin(number, others)) for origin, others in held]
        out = np.any([hit for _, hit in shared], axis=0) if shared else np.zeros(len(number), bool)
        counts = [{**origin, **_count(photo, hit[photo])} for origin, hit in shared if hit[photo].any()]
        part.leave_out(np.flatnonzero(out), dict(**_count(photo, out[photo]), of=counts))
        _tell(part)


def _tell(part: ReferringDataset) -> None:
    out = part.protocol['left_out']
    splits = '; '.join(f'{" ".join(map(str, one.values()))}' for one in out['of']) or 'none'
    MMLogger.get_current_instance().info(
        f'{" ".join(part.origin.values())}: {out["photos"]} photos with {out["refs"]} refs are left out, since other '
        f'splits hold them (photos and refs each): {splits}'
    )


def photo_names(index: SharedIndex) -> np.ndarray:
    """Of each photo of an index, what the same photo is called in every data set; see :class:`MixedDataset`."""
    names = index.photo_names()
    return np.array([f'COCO {found[1] or found[2]}' if (found := _COCO.search(name)) else name for name in names])


_COCO = re.compile(r'(?:COCO_(?:train|val)2014_(\d{12})|(?:^|/)(\d{12}))(?:_\d+)?\.\w+$')


def _count(photo: np.ndarray, chosen: np.ndarray) -> dict[str, int]:
    return dict(photos=len(np.unique(photo[chosen])), refs=int(chosen.sum()))


def _files(part: ReferringDataset) -> tuple:
    return part.data_root, *(part.origin.get(key) for key in ('ann_folder', 'split_by', 'ann_file'))


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else a == b
