"""Pictures of a test."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from PIL import Image

from .comparison import compare
from .draw import read_photo


@HOOKS.register_module()
class PictureHook(Hook):
    """Write ``<split>/<photo>_<sent_id>.png`` of every tested sample: photo, sentence, truth, prediction, IoU.

    Args:
        folder: where to; made if missing.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        folder = self.folder / runner.test_loop.dataloader.dataset.metainfo['split']
        folder.mkdir(parents=True, exist_ok=True)
        for sample in outputs or ():
            truth = sample.gt_sem_seg.data[0].cpu().numpy() == 1
            prediction = sample.pred_sem_seg.data[0].cpu().numpy() == 1
            iou = (truth & prediction).sum() / max((truth | prediction).sum(), 1)
            picture = compare(read_photo(sample.img_path), sample.sentence, truth, prediction, iou)
            Image.fromarray(picture).save(folder / f'{Path(sample.img_path).stem}_{sample.sent_id}.png')
