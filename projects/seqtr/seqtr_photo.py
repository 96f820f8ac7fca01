"""Photos that keep their shape, with padding on the right and below, of which the model is told."""

from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import MODELS, TRANSFORMS

from mgfe_ris.models import ReferringDataPreProcessor


@TRANSFORMS.register_module()
class FitAndPad(BaseTransform):
    """Photo (and mask) -> as large as it can be within a rectangle, then padded on the right and below.

    It writes ``fitted``, (height, width) of the photo without its padding, and ``to_input``, from which
    :func:`mgfe_ris.structures.mask_of` finds the way back.

    Args:
        scale: (width, height) of the rectangle, pixels.
        divisor: the padded sides are multiples of it; None: of the rectangle's size, as batches of several photos need
            it.
    """

    def __init__(self, scale: Sequence[int], divisor: int | None = None):
        self.scale, self.divisor = tuple(scale), divisor

    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        share = min(self.scale[0] / width, self.scale[1] / height)
        fitted = int(height * share + 0.5), int(width * share + 0.5)
        results['img'] = self._padded(mmcv.imresize(results['img'], fitted[::-1]))
        if 'gt_seg_map' in results.get('seg_fields', ()):
            mask = mmcv.imresize(results['gt_seg_map'], fitted[::-1], interpolation='nearest')
            results['gt_seg_map'] = self._padded(mask)
        x, y = fitted[1] / width, fitted[0] / height
        results['to_input'] = ((x, 0.0, 0.5 * x - 0.5), (0.0, y, 0.5 * y - 0.5))
        results['fitted'], results['img_shape'] = fitted, results['img'].shape[:2]
        return results

    def _padded(self, image: Any) -> Any:
        height, width = image.shape[:2]
        if self.divisor is None:
            below, right = self.scale[1] - height, self.scale[0] - width
        else:
            below, right = -height % self.divisor, -width % self.divisor
        return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))


@MODELS.register_module()
class PaddedPreProcessor(ReferringDataPreProcessor):
    """Photos get a fourth channel: 1 on the photo, 0 on padding.

    Arguments as of :class:`mgfe_ris.models.ReferringDataPreProcessor`.
    """

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """See :class:`mgfe_ris.models.ReferringDataPreProcessor`; ``inputs`` are (B, 4, H, W)."""
        batch = super().forward(data, training)
        photos, samples = batch['inputs'], batch['data_samples'][: len(batch['inputs'])]
        inside = torch.zeros_like(photos[:, :1])
        for one, sample in zip(inside, samples, strict=True):
            height, width = sample.get('fitted', photos.shape[-2:])
            one[:, :height, :width] = 1
        return {**batch, 'inputs': torch.cat([photos, inside], dim=1)}
