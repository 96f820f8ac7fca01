"""Pictures of a test, and of each validation of a training."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from math import ceil
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image

from ..data_parts import locate, split_of
from .comparison import compare
from .draw import grid, read_photo, resized


@HOOKS.register_module()
class PictureHook(Hook):
    """Write ``<split>/<photo>_<sent_id>.png`` of every tested sample: photo, sentence, truth, prediction, IoU.

    Where that name is another sample's, too (photos of one name in several folders, ids that are not unique), eight
    digits are appended, the same in each process and test.

    Args:
        folder: where to; made if missing.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def before_test_epoch(self, runner: Runner) -> None:
        self._shared_names = _shared_names(runner.test_loop.dataloader.dataset)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        folder = self.folder / split_of(runner.test_loop.dataloader.dataset)
        folder.mkdir(parents=True, exist_ok=True)
        for sample in outputs or ():
            name = _name(sample.img_path, sample.sent_id)
            if name.casefold() in self._shared_names:
                name += f'_{_digits(sample)}'
            Image.fromarray(picture_of(sample)).save(folder / f'{name}.png')


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
        share = ceil(len(runner.val_dataloader.dataset) / runner.world_size)
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
        logits = sample.seg_logits.data[None].float()
        logits = F.interpolate(logits, truth.shape[-2:], mode='bilinear', align_corners=False)
        prediction = logits[0].argmax(0, keepdim=True)
    counts = (truth != 255).cpu().numpy()[0]
    is_truth, is_predicted = ((mask == 1).cpu().numpy()[0] for mask in (truth, prediction))
    union = (is_truth | is_predicted) & counts
    iou = (is_truth & is_predicted).sum() / max(union.sum(), 1)
    return compare(_small_photo(sample.img_path), sample.sentence, is_truth, is_predicted, iou)


@lru_cache(maxsize=16)
def _small_photo(path: str) -> np.ndarray:
    """Sentences about one photo follow one another, and a validation shows the same few photos each time."""
    return resized(read_photo(path))


def _name(img_path: str, sent_id: int) -> str:
    return f'{Path(img_path).stem[:50]}_{sent_id}'  # file systems take 255 bytes, a letter has up to 4


def _shared_names(dataset: BaseDataset) -> set[str]:
    """Of more samples than one; some file systems do not tell a from A."""
    places = (locate(dataset, i) for i in range(len(dataset)))
    samples = (part.get_data_info(i) for part, i in places)
    counts = Counter(_name(s['img_path'], sent_id).casefold() for s in samples for sent_id in s['sent_ids'])
    return {name for name, count in counts.items() if count > 1}


def _digits(sample: SegDataSample) -> str:
    told = '\0'.join(map(str, (sample.img_path, sample.ref_id, sample.sent_id, sample.sentence)))
    return sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:8]
