"""Fields that all forms of annotations share: numbers, sizes, masks."""

from typing import Any

from .file_names import check_name
from .masks import Part, mask_parts


def is_whole(x: Any) -> bool:
    return type(x) is int and abs(x) < 2**63


def pixel_size(height: Any, width: Any) -> tuple[int, int]:
    # int32 arithmetic of pycocotools: (height * width) must fit
    if not (is_whole(height) and is_whole(width) and 0 < height < 2**15 and 0 < width < 2**15):
        raise ValueError(f'a photo of {height} x {width} pixels (height, width)')
    return height, width


def safe_parts(segmentation: Any) -> list[Part]:
    """At least one, and no PNG from elsewhere."""
    parts = mask_parts(segmentation)
    if not parts:
        raise ValueError('the mask is empty')
    for part in parts:
        if isinstance(part, dict) and 'png' in part:
            check_name(part['png'])
    return parts
