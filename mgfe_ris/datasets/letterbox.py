"""Photos that keep their shape: brought into a square, with a border around them."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Letterbox(BaseTransform):
    """Photo (and mask) -> the middle of a rectangle, as large as it can be; one affine warp, as CRIS has it.

    The corners (0, 0), (w, 0), (0, h) of pixel indices become (x, y), (x + s w, y), (x, y + s h). The photo is warped
    with cubic interpolation, its mask with a linear one: that gives ``gt_share``, how much of each pixel is the object,
    and ``gt_seg_map``, 1 where that is more than nothing. ``to_input`` says where the photo lies, from which
    :func:`mgfe_ris.structures.scores_and_mask` finds the way back.

    Args:
        scale: (width, height) of the input, pixels.
        border: colour around the photo, (blue, green, red) in [0, 255]; CLIP's mean, as CRIS has it, is nearly 0 after
            the normalisation.
    """

    def __init__(self, scale: Sequence[int], border: Sequence[float] = (104.09, 116.75, 122.77)):
        self.scale = tuple(scale)
        self.border = [round(value) for value in border]

    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        matrix = self.matrix(height, width)
        warped = cv2.warpAffine(results['img'], matrix, self.scale, flags=cv2.INTER_CUBIC, borderValue=self.border)
        results['img'] = warped
        results['img_shape'] = warped.shape[:2]
        results['to_input'] = tuple(map(tuple, matrix.tolist()))
        if 'gt_seg_map' in results.get('seg_fields', ()):
            mask = cv2.warpAffine(results['gt_seg_map'] * 255, matrix, self.scale, flags=cv2.INTER_LINEAR)
            results['gt_share'] = mask.astype(np.float32) / 255
            results['gt_seg_map'] = (mask > 0).astype(np.uint8)
        return results

    def matrix(self, height: int, width: int) -> np.ndarray:
        """(2, 3): from a photo of this size to the input."""
        side = min(self.scale[0] / width, self.scale[1] / height)
        x, y = (self.scale[0] - side * width) / 2, (self.scale[1] - side * height) / 2
        return np.array([[side, 0, x], [0, side, y]])


@TRANSFORMS.register_module()
class PackReferringInputs(BaseTransform):
    """mmseg's ``PackSegInputs``, with ``gt_share`` (1, H, W) float, where a pipeline made one.

    Args:
        meta_keys: what is packed beside.
    """

    def __init__(self, meta_keys: Sequence[str]):
        self.pack = TRANSFORMS.build(dict(type='PackSegInputs', meta_keys=tuple(meta_keys)))

    def transform(self, results: dict) -> dict:
        packed = self.pack(results)
        if 'gt_share' in results:
            packed['data_samples'].gt_share = PixelData(data=torch.from_numpy(results['gt_share'])[None])
        return packed
