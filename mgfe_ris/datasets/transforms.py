"""What a referring sample needs beyond mmcv's transforms."""

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmseg.registry import TRANSFORMS

from .masks import decode_segmentation


@TRANSFORMS.register_module()
class LoadPhoto(LoadImageFromFile):
    """mmcv's loader, with an error that names the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that does not decode as an image.
    """

    def transform(self, results: dict) -> dict:
        try:
            return super().transform(results)
        except FileNotFoundError:
            raise FileNotFoundError(f'{results["img_path"]}: no such photo') from None
        except Exception as error:
            raise ValueError(f'{results["img_path"]}: not a readable image ({error})') from error


@TRANSFORMS.register_module()
class LoadReferringMask(BaseTransform):
    """COCO's ``segmentation`` -> ``gt_seg_map`` (height, width) uint8, 1 on the object.

    A sample without ``segmentation``, a user's own photo, passes unchanged.

    Raises:
        ValueError: if the photo is of another size than its annotation says, or the mask is broken or empty.
    """

    def transform(self, results: dict) -> dict:
        if 'segmentation' not in results:
            return results
        size = (results['height'], results['width'])
        if 'img' in results and results['ori_shape'] != size:
            raise ValueError(
                f'{results["img_path"]} is {results["ori_shape"]}, its annotation says {size} (height, width)'
            )
        try:
            results['gt_seg_map'] = decode_segmentation(results['segmentation'], *size)
        except Exception as error:  # pycocotools raises bare Exceptions
            raise ValueError(
                f'ref_id {results["ref_id"]} of {results["img_path"]}: its segmentation does not decode '
                f'({type(error).__name__}: {error})'
            ) from error
        if not results['gt_seg_map'].any():
            raise ValueError(f'ref_id {results["ref_id"]} of {results["img_path"]} has an empty mask')
        results['seg_fields'] = ['gt_seg_map']
        return results


@TRANSFORMS.register_module()
class PickSentence(BaseTransform):
    """One of the object's ``sentences``, at random, becomes ``sentence``, its id ``sent_id``."""

    def transform(self, results: dict) -> dict:
        i = np.random.randint(len(results['sentences']))
        results['sentence'], results['sent_id'] = results['sentences'][i], results['sent_ids'][i]
        return results
