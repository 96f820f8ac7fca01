"""What a model thought of each pixel, kept for ensembles, thresholds and calibration."""

from io import BytesIO

import numpy as np
from mmseg.registry import HOOKS

from ..sample_files import SampleFilesHook
from ..structures import SegDataSample, target_logit


@HOOKS.register_module()
class LogitsHook(SampleFilesHook):
    """Write ``<split>/<photo>_<sent_id>.npz`` of every tested sample, of the arrays

    - ``logit``: (h, w) float16, the target's logit less the background's, at the model's input size. Its sigmoid is the
      probability of the target; above 0 lies the mask.
    - ``photo_size``: (2,) int64, height and width of the photo. Resized to it, bilinear (``align_corners=False``), the
      logit is in the photo's frame.
    - ``img_path``, ``sentence``: str; ``ids``: (3,) int64, those of photo, object and sentence.

    A file takes 2 bytes a pixel and about a kilobyte: see :func:`bytes_of_logits`.
    """

    suffix = '.npz'

    def encode(self, sample: SegDataSample) -> bytes:
        """The content of a sample's file."""
        logit = target_logit(sample.seg_logits.data.float())
        largest = float(np.finfo(np.float16).max)
        file = BytesIO()
        np.savez(
            file,
            logit=logit.clamp(-largest, largest).half().cpu().numpy(),
            photo_size=np.array(sample.ori_shape[:2], np.int64),
            img_path=np.array(sample.img_path),
            sentence=np.array(sample.sentence),
            ids=np.array([sample.img_id, sample.ref_id, sample.sent_id], np.int64),
        )
        return file.getvalue()


def bytes_of_logits(samples: int, height: int, width: int) -> int:
    """About how much :class:`LogitsHook` writes of so many samples, of an input of so many pixels."""
    return samples * (2 * height * width + 2048)
