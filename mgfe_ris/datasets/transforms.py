"""What a referring sample needs beyond mmcv's transforms."""

from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, Compose, LoadImageFromFile
from mmengine import fileio
from mmseg.registry import TRANSFORMS

from ..one_line import one_line
from .masks import decode_segmentation
from .photo_files import check_jpeg


@TRANSFORMS.register_module()
class LoadPhoto(LoadImageFromFile):
    """mmcv's loader, with an error that names the file; a photo in memory, ``img`` as the loader leaves it, passes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that does not decode as an image.
    """

    def transform(self, results: dict) -> dict | None:
        if 'img' not in results:
            try:
                results['img'] = self._load(results['img_path'], results.get('height', 0) * results.get('width', 0))
            except (OSError, ValueError):
                if self.ignore_empty:  # as mmcv has it
                    return None
                raise
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results

    def _load(self, path: str, pixels: int) -> np.ndarray:
        """mmcv's, which would read the file again after the check of what was read."""
        try:
            data = self._read(path)
            check_jpeg(data, pixels)
            photo = mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend)
            if photo is None:
                raise ValueError('nothing to decode')
        except FileNotFoundError:
            raise FileNotFoundError(f'{path}: no such photo') from None
        except (OSError, ValueError, cv2.error) as error:
            raise ValueError(f'{path}: not a readable image ({one_line(error)})') from error
        return photo.astype(np.float32) if self.to_float32 else photo

    def _read(self, path: str) -> bytes:
        if self.file_client_args is not None:
            return fileio.FileClient.infer_client(self.file_client_args, path).get(path)
        return fileio.get(path, backend_args=self.backend_args)


@TRANSFORMS.register_module()
class OncePerPhoto(BaseTransform):
    """What its transforms make of a photo, kept for the samples that follow on the same photo.

    For evaluation, where photos come with several sentences each; see ``PhotoBatchSampler``. What is kept is read-only.

    Args:
        transforms: that depend on the photo alone: ``img_path``, or ``img`` of a photo in memory.
    """

    def __init__(self, transforms: Sequence[dict]):
        self.transforms = Compose(list(transforms))
        self.photo: Any = None
        self.made: dict[str, Any] = {}

    def transform(self, results: dict) -> dict:
        photo = results['img'] if 'img' in results else results['img_path']
        paths = isinstance(photo, str) and isinstance(self.photo, str)
        if not (photo == self.photo if paths else photo is self.photo):
            self.photo = None  # a photo that fails must not leave the one before under its name
            made = self.transforms({key: results[key] for key in ('img_path', 'img') if key in results})
            made['img'].flags.writeable = False
            self.photo, self.made = photo, made
        return {**results, **self.made}


@TRANSFORMS.register_module()
class LoadReferringMask(BaseTransform):
    """``segmentation`` -> ``gt_seg_map`` (height, width) uint8, 1 on the object; and ``parts``, of how many it is made.

    At the size of ``img`` at this place of the pipeline: ahead of ``Resize`` the photo's own, after it the input's
    (nearest pixels); with ``score_at='photo'``, which the data set sets, always the photo's own. A sample without
    ``segmentation``, a user's own photo, passes unchanged. The last object's mask is kept for its next sentence.

    Raises:
        ValueError: if the photo is of another size than its annotation says, or the mask is broken, or empty where
            the data set does not say ``no_target``.
    """

    def __init__(self) -> None:
        self.key: tuple | None = None
        self.mask = np.zeros(0)

    def transform(self, results: dict) -> dict:
        if 'segmentation' not in results:
            return results
        for_scoring = results.get('score_at') == 'photo'
        if 'to_input' in results and not for_scoring:
            raise ValueError("put LoadReferringMask ahead of Letterbox, or score at the photo's size: score_at='photo'")
        size = None if for_scoring or 'img' not in results else results['img'].shape[:2]
        # the mask itself, not ref_id: ids of one's own data need not be unique
        key = (results['img_path'], results['segmentation'], size)
        if key != self.key:
            self.key = None
            mask = self._decode(results)
            if size is not None and mask.shape != size:
                mask = mmcv.imresize(mask, size[::-1], interpolation='nearest', backend='pillow')
            self.key, self.mask = key, mask
        # a copy: what follows may change it, and the photo's next sentence wants it as it was
        results['gt_seg_map'] = self.mask.copy()
        results['parts'] = len(results['segmentation'])
        results['seg_fields'] = [] if for_scoring else ['gt_seg_map']  # what a Resize after takes along
        return results

    def _decode(self, results: dict) -> np.ndarray:
        size = (results['height'], results['width'])
        if 'img' in results and results['ori_shape'] != size:
            raise ValueError(
                f'{results["img_path"]} is {results["ori_shape"]}, its annotation says {size} (height, width)'
            )
        try:
            mask = decode_segmentation(
                results['segmentation'], *size, results.get('orientation', 1), results.get('stored_frame', False)
            )
        except Exception as error:  # pycocotools raises bare Exceptions
            raise ValueError(
                f'ref_id {results["ref_id"]} of {results["img_path"]}: its segmentation does not decode '
                f'({type(error).__name__}: {error})'
            ) from error
        if not results.get('no_target') and not mask.any():
            raise ValueError(f'ref_id {results["ref_id"]} of {results["img_path"]} has an empty mask')
        return mask


@TRANSFORMS.register_module()
class PickSentence(BaseTransform):
    """One of the object's ``sentences``, at random, becomes ``sentence``, its id ``sent_id``."""

    def transform(self, results: dict) -> dict:
        i = np.random.randint(len(results['sentences']))
        results['sentence'], results['sent_id'] = results['sentences'][i], results['sent_ids'][i]
        return results
