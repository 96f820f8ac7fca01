"""Photos that keep their shape: brought into a rectangle, with a border around them or padding beside."""

from collections.abc import Sequence

import cv2
import mmcv
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
        fitted = fitted_size((height, width), self.scale)
        results['img'] = self._padded(mmcv.imresize(results['img'], fitted[::-1]))
        if 'gt_seg_map' in results.get('seg_fields', ()):
            mask = mmcv.imresize(results['gt_seg_map'], fitted[::-1], interpolation='nearest')
            results['gt_seg_map'] = self._padded(mask)
        x, y = fitted[1] / width, fitted[0] / height
        results['to_input'] = ((x, 0.0, 0.5 * x - 0.5), (0.0, y, 0.5 * y - 0.5))
        results['fitted'], results['img_shape'] = fitted, results['img'].shape[:2]
        return results

    def _padded(self, image: np.ndarray) -> np.ndarray:
        if self.divisor is None:
            return padded(image, self.scale)
        height, width = (-(-side // self.divisor) * self.divisor for side in image.shape[:2])
        return padded(image, (width, height))


def fitted_size(size: tuple[int, int], scale: Sequence[int], ratio: float = 1.0) -> tuple[int, int]:
    """(height, width) of a photo of that size, as large as it can be within ``scale``, (width, height), times a ratio;
    at least a pixel."""
    height, width = size
    ratio *= min(scale[0] / width, scale[1] / height)
    return max(1, int(height * ratio + 0.5)), max(1, int(width * ratio + 0.5))


def padded(image: np.ndarray, scale: Sequence[int]) -> np.ndarray:
    """Zeros on the right and below, up to ``scale``, (width, height)."""
    height, width = image.shape[:2]
    below, right = scale[1] - height, scale[0] - width
    return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))


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
