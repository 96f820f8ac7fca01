"""Fields that all forms of annotations share: numbers, sizes, masks."""

import re
import reprlib
from typing import Any

from .file_names import check_name
from .masks import Part, check_length, mask_parts

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80


def told(value: Any) -> str:
    """For errors: short, also of lists that hold each other, which would have no end."""
    return _short.repr(value)[:100]


def whole_number(value: Any, field: str) -> int:
    """An int, digits in a string, or a float without a fraction: programs on the way write ids as they like.

    Raises:
        ValueError: anything else; the field is named.
    """
    digits = isinstance(value, str) and re.fullmatch(r'-?[0-9]{1,19}', value)
    if digits or (type(value) is float and value.is_integer()):
        value = int(value)
    if type(value) is not int or abs(value) >= 2**63:
        raise ValueError(f'{field} must be a whole number; got {told(value)}')
    return value


def pixel_size(height: Any, width: Any) -> tuple[int, int]:
    """(height, width) of a photo; raises ValueError for what is none."""
    size = whole_number(height, 'height'), whole_number(width, 'width')
    # int32 arithmetic of pycocotools: (height * width) must fit
    if not all(0 < side < 2**15 for side in size):
        raise ValueError(f'a photo of {size[0]} x {size[1]} pixels (height, width)')
    return size


def safe_parts(segmentation: Any) -> list[Part]:
    """At least one, and no PNG from elsewhere."""
    parts = mask_parts(segmentation)
    if not parts:
        raise ValueError('the mask is empty')
    check_length(parts)
    for part in parts:
        if isinstance(part, dict) and 'png' in part:
            check_name(part['png'], may_be_absolute=True)
    return parts
