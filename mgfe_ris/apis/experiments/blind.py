"""Baselines that do not listen: what the photos and the masks alone give away of a test."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS
from torch import Tensor

from ...data_parts import locate, parts_of, with_changed_parts
from ...datasets import ReferringDataset
from ...datasets.distractors import annotated_objects
from ...datasets.masks import Part, decode_segmentation, encoded_mask
from ...datasets.readers import refer_files
from ...evaluation import RefSegMetric, split_datasets
from ...visualization import count_samples

Blind = Callable[[Mapping[str, Any]], np.ndarray]
"""A sample, as :meth:`ReferringDataset.get_data_info` gives it -> a mask of the photo's own size, (height, width) bool;
it looks at no sentence and no truth of the sample."""


class LargestObject:
    """The object with the most pixels of all that ``instances.json`` annotates in the photo, whether a sentence is
    about it or not. A crowd that COCO annotates as a whole is no object; of a photo without any, the mask is empty.

    Args:
        dataset: of the tested samples.

    Raises:
        ValueError: its files have no ``instances.json``; an annotation that is none.
    """

    def __init__(self, dataset: ReferringDataset):
        if dataset.ann_folder is None or dataset.split_by is None:
            raise ValueError(
                f'{dataset.rows_file}: rows do not say what else is in a photo; the largest object needs data in '
                "RefCOCO's form, with an instances.json"
            )
        _, self.instances = refer_files(Path(dataset.data_root, dataset.ann_folder), dataset.split_by)
        photos = {dataset.get_data_info(i)['img_id'] for i in range(len(dataset))}
        self.objects = annotated_objects(self.instances, photos)
        self.photo, self.mask = -1, np.zeros(0, bool)

    def __call__(self, info: Mapping[str, Any]) -> np.ndarray:
        if info['img_id'] != self.photo:  # kept for the photo's next sentence
            masks = [self._decoded(parts, info) for parts in self.objects.get(info['img_id'], [])]
            nothing = np.zeros((info['height'], info['width']), bool)
            self.photo, self.mask = info['img_id'], max([nothing, *masks], key=np.count_nonzero)
        return self.mask

    def _decoded(self, parts: list[Part], info: Mapping[str, Any]) -> np.ndarray:
        """No pixel for a mask that is broken: no sentence is about it, or the data set would have refused it."""
        size = (info['height'], info['width'])
        try:
            frame = info.get('orientation', 1), info.get('stored_frame', False)
            return decode_segmentation(parts, *size, *frame).astype(bool)
        except ValueError as error:
            log = MMLogger.get_current_instance()
            log.warning(f'{self.instances}, image_id {info["img_id"]}: a mask is passed over: {error}')
            return np.zeros(size, bool)


class TrainingPrior:
    """Where targets lie in general: the mean mask of the training's objects, 32 x 32, stretched (bilinear) to the photo
    and cut at the level, of 100 between 0 and its highest, that has the highest mean IoU on the training's objects.

    Args:
        dataset: of the training, one sample per object, with ``gt_seg_map`` at the photo's own size.
    """

    def __init__(self, dataset: BaseDataset):
        self.map = count_samples(_samples_of(dataset)).coverage / 100
        self.levels = self.map.max() * np.arange(_LEVELS) / _LEVELS
        self.level = float(self.levels[self._mean_iou(dataset).argmax()])

    def __call__(self, info: Mapping[str, Any]) -> np.ndarray:
        return self._stretched((info['height'], info['width'])) >= self.level

    def _stretched(self, size: tuple[int, int]) -> np.ndarray:
        return cv2.resize(self.map, size[::-1], interpolation=cv2.INTER_LINEAR)

    def _mean_iou(self, dataset: BaseDataset) -> np.ndarray:
        """Of each level, over the objects that have a pixel."""

        @lru_cache(maxsize=64)  # most photos share a few sizes
        def reached(size: tuple[int, int]) -> np.ndarray:
            """Number of the highest level that a pixel reaches."""
            return (np.searchsorted(self.levels, self._stretched(size), side='right') - 1).astype(np.uint8)

        total, objects = np.zeros(_LEVELS), 0
        for sample in _samples_of(dataset):
            truth = sample['gt_seg_map'] == 1
            reach = reached(truth.shape)
            intersection, kept = _at_least(reach[truth]), _at_least(reach)
            total += intersection / np.maximum(kept + truth.sum() - intersection, 1)
            objects += bool(truth.any())
        return total / max(objects, 1)


_LEVELS = 100


def _at_least(numbers: np.ndarray) -> np.ndarray:
    """How many are 0 or more, 1 or more, ..."""
    return np.bincount(numbers.ravel(), minlength=_LEVELS)[::-1].cumsum()[::-1]


def _samples_of(dataset: BaseDataset) -> Iterator[dict]:
    """Each once, however often a wrapper repeats it."""
    return (part[i] for part in parts_of(dataset) for i in range(len(part)))


def _largest(cfg: Config) -> Callable[[ReferringDataset], Blind]:
    return LargestObject


def _prior(cfg: Config) -> Callable[[ReferringDataset], Blind]:
    changes = dict(per_sentence=False, pipeline=[dict(type='LoadReferringMask')])
    prior = TrainingPrior(DATASETS.build(with_changed_parts(cfg.train_dataloader.dataset, **changes)))
    return lambda _: prior


BASELINES = {'largest': _largest, 'prior': _prior}
"""See :class:`LargestObject` and :class:`TrainingPrior`."""


def measure_blind(cfg: Config, baseline: str, out: str | Path) -> dict[str, float]:
    """Test a baseline as a model would be: on the same splits, with the same files.

    A mask goes through the pipeline in the place of the truth, so that both are compared at the same size and place.

    Args:
        cfg: of a training and a test.
        baseline: of :data:`BASELINES`.
        out: folder for a line per sample and split, see :class:`mgfe_ris.evaluation.RefSegMetric`.

    Returns:
        ``{'val/oIoU': ..., ...}``, in percent.

    Raises:
        FileNotFoundError, ValueError: of the data sets, or see the baseline.
        OSError: the lines cannot be written.
    """
    init_default_scope(cfg.default_scope)
    tested, splits = cfg.test_dataloader.dataset, cfg.test_cfg.get('splits')
    tests = {'test': tested} if splits is None else split_datasets(tested, splits, cfg.test_cfg.get('shuffled', ()))
    datasets = {name: DATASETS.build(dataset) for name, dataset in tests.items()}
    make = BASELINES[baseline](cfg)
    metrics: dict[str, float] = {}
    for name, dataset in datasets.items():
        metrics |= {f'{name}/{key}': value for key, value in _test_one(dataset, make, Path(out)).items()}
    return metrics


def _test_one(dataset: BaseDataset, make: Callable[[ReferringDataset], Blind], out: Path) -> dict[str, float]:
    metric = RefSegMetric(per_sample=str(out))
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dataset.metainfo
    blind = {id(part): make(part) for part in parts_of(dataset)}
    for i in range(len(dataset)):
        part, place = locate(dataset, i)
        sample, info = dataset[i]['data_samples'], part.get_data_info(place)
        sample.pred_sem_seg = PixelData(data=_packed(part, info, blind[id(part)](info)))
        evaluator.process([sample])
    metrics = evaluator.evaluate(len(dataset))
    if metric.error is not None:
        raise metric.error
    return metrics


def _packed(part: ReferringDataset, info: Mapping[str, Any], mask: np.ndarray) -> Tensor:
    """A mask of the photo as it is shown -> (1, H, W) int64, as the pipeline packs the truth."""
    shown = dict(segmentation=[encoded_mask(mask)], no_target=True, orientation=1, stored_frame=False)
    return part.pipeline({**info, **shown})['data_samples'].gt_sem_seg.data
