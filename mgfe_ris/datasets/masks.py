"""COCO's forms of a mask -> pixels."""

import numpy as np
import pycocotools.mask as coco


def decode_segmentation(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """Polygons (their union), uncompressed or compressed RLE -> (height, width) uint8, 1 inside.

    Raises:
        ValueError: an RLE of another size than the photo.
    """
    if isinstance(segmentation, list):
        rles = coco.frPyObjects(segmentation, height, width)
        return coco.decode(coco.merge(rles))
    if list(segmentation['size']) != [height, width]:
        raise ValueError(f'RLE of size {segmentation["size"]} for a photo of {[height, width]} (height, width)')
    if isinstance(segmentation['counts'], list):
        segmentation = coco.frPyObjects(segmentation, height, width)
    return coco.decode(segmentation)
