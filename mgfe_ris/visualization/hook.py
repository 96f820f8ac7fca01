"""Pictures of a test, and of each validation of a training."""

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image

from ..data_parts import split_of
from ..sample_files import SampleFilesHook
from ..structures import logits_of, mask_of
from .comparison import compare
from .draw import grid, read_photo, resized


@HOOKS.register_module()
class PictureHook(SampleFilesHook):
    """Write ``<split>/<photo>_<sent_id>.png`` of every tested sample: photo, sentence, truth, prediction, IoU."""

    suffix = '.png'

    def encode(self, sample: SegDataSample) -> bytes:
        """The content of a sample's file."""
        file = BytesIO()
        Image.fromarray(picture_of(sample)).save(file, format='PNG')
        return file.getvalue()


@HOOKS.register_module()
class ValidationPictureHook(Hook):
    """Show a few samples at each validation, the same each time: photo, sentence, truth, prediction, IoU.

    They are written to ``pictures/<split>_epoch_<epoch>.png`` in the work dir, and to TensorBoard where that is among
    the visualizer's backends. Of several processes the first one writes, from its share of the samples.

    Args:
        count: how many, evenly spaced over the data set.
    """

    def __init__(self, count: int = 8):
        if count < 1:
            raise ValueError(f'count must be 1 or more; got {count}')
        self.count = count

    def before_val_epoch(self, runner: Runner) -> None:
        share = sum(map(len, runner.val_dataloader.batch_sampler))
        self._chosen = {round(place) for place in np.linspace(0, share - 1, self.count)}
        self._seen = 0
        self._pictures: list[np.ndarray] = []

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        if runner.rank != 0:
            return
        for place, sample in enumerate(outputs or (), self._seen):
            if place in self._chosen:
                self._pictures.append(picture_of(sample))
        self._seen += len(outputs or ())

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if not self._pictures:  # of another process
            return
        by_epoch = runner.log_processor.by_epoch
        unit, step = ('epoch', runner.epoch) if by_epoch else ('iter', runner.iter)
        split = split_of(runner.val_dataloader.dataset)
        picture = grid(self._pictures, columns=2)
        path = Path(runner.work_dir, 'pictures', f'{split}_{unit}_{step}.png')
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
        board = runner.visualizer.get_backend('TensorboardVisBackend')
        if board is not None:
            board.add_image(f'pictures/{split}', picture, step)


def picture_of(sample: SegDataSample) -> np.ndarray:
    """What a model made of a sample, with its IoU as :class:`mgfe_ris.evaluation.RefSegMetric` counts it."""
    truth, prediction = sample.gt_sem_seg.data, sample.pred_sem_seg.data
    if prediction.shape != truth.shape:  # scored at the photo's size
        prediction = mask_of(logits_of(sample), truth.shape[-2:], sample)[None]
    counts = (truth != 255).cpu().numpy()[0]
    is_truth, is_predicted = ((mask == 1).cpu().numpy()[0] for mask in (truth, prediction))
    union = (is_truth | is_predicted) & counts
    iou = (is_truth & is_predicted).sum() / max(union.sum(), 1)
    return compare(_small_photo(sample.img_path), sample.sentence, is_truth, is_predicted, iou)


@lru_cache(maxsize=16)
def _small_photo(path: str) -> np.ndarray:
    """Sentences about one photo follow one another, and a validation shows the same few photos each time."""
    return resized(read_photo(path))
