"""Photos in every form that users have them."""

import io
import threading
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import mmcv
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ...datasets.photo_files import MAX_PIXELS, FewReadsBytes, FewReadsFile, check_jpeg, check_pixels
from ...download import download, is_address
from ...one_line import one_line

Photo: TypeAlias = str | Path | Image.Image | np.ndarray | Tensor
"""A file, an ``http(s)`` address, or a picture in memory; see :func:`open_photo`."""
_MAX_SIDE = 65_535
"""As JPEG allows; a strip of pixels is no photo."""
_MAX_BYTES = 100_000_000
_SILENCE, _SECONDS = 20, 60
"""For which an address may send nothing, and until which it must have sent all; see :mod:`mgfe_ris.download`."""
_PILLOW = threading.Lock()
"""Two threads that load one lazy image get half of it each."""


def open_photo(
    photo: Photo, bgr: bool = False, max_pixels: int = MAX_PIXELS, private_addresses: bool = False
) -> Path | np.ndarray:
    """A file stays one, with its header checked; anything else becomes an RGB picture.

    Args:
        photo: path; ``http(s)`` address; PIL image; array (H, W, 3) or (H, W), uint8; or tensor (3, H, W), uint8 or
            float in [0, 1]. Files are turned as their EXIF says, and lose transparency.
        bgr: the channels of arrays and tensors are blue, green, red, as OpenCV has them.
        max_pixels: larger photos are refused, ahead of decoding.
        private_addresses: whether to read addresses of this machine, its network, and what else is not public.

    Returns:
        the path, or (H, W, 3) uint8.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a photo, an empty or too large one, or an address that gives none.
    """
    if isinstance(photo, str) and is_address(photo):
        data = _download(photo, private_addresses)
        _check_header(FewReadsBytes(data), photo, max_pixels)
        return decode_photo(data, photo)
    if isinstance(photo, (str, Path)):
        if not Path(photo).is_file():
            raise FileNotFoundError(f'{photo}: no such photo')
        with FewReadsFile(open(photo, 'rb', buffering=0)) as file:
            _check_header(file, str(photo), max_pixels)
        return Path(photo)
    if isinstance(photo, Image.Image):
        _check_size(photo.size, 'the photo', max_pixels)
        return _from_pil(photo)
    array = _as_array(photo)
    _check_size(array.shape[1::-1], 'the photo', max_pixels)
    return np.ascontiguousarray(array[..., ::-1]) if bgr else array


def decode_photo(data: bytes, name: str) -> np.ndarray:
    """What a photo's file holds -> RGB picture (H, W, 3) uint8, of the pixels that ``LoadPhoto`` makes of it.

    Raises:
        ValueError: data that is no whole image; ``name`` says whose.
    """
    try:
        check_jpeg(data)
        photo = mmcv.imfrombytes(data, channel_order='rgb', backend='cv2')  # in place, where a copy would double it
    except (ValueError, cv2.error) as error:
        raise ValueError(f'{name}: not a readable image ({one_line(error)})') from error
    return photo


def _from_pil(photo: Image.Image) -> np.ndarray:
    if photo.mode in ('F', 'I'):
        raise ValueError(f'a photo of mode {photo.mode}: which value is white? Convert it to mode L or RGB first')
    try:
        with _PILLOW:
            turned = ImageOps.exif_transpose(photo)
            if turned.mode.startswith('I;16'):  # Pillow would cut off at 255
                turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
            return np.asarray(turned.convert('RGB'))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'the photo: not a readable image ({one_line(error)})') from error


def _as_array(photo: Any) -> np.ndarray:
    if isinstance(photo, Tensor):
        if photo.ndim != 3 or photo.shape[0] != 3:
            raise ValueError(f'a photo as a tensor must be (3, H, W); got {tuple(photo.shape)}')
        if photo.is_floating_point():
            low, high = (photo.min().item(), photo.max().item()) if photo.numel() else (0, 0)
            if not (low >= 0 and high <= 1):
                raise ValueError(f'a photo of floats must lie in [0, 1]; got {low:.3g} to {high:.3g}')
            photo = (photo * 255).round().to(torch.uint8)
        photo = photo.permute(1, 2, 0).cpu().numpy()
    if not isinstance(photo, np.ndarray):
        raise ValueError(
            f'a photo is a path, an address, a PIL image, an array or a tensor; got {type(photo).__name__}'
        )
    if photo.dtype != np.uint8 or photo.ndim not in (2, 3) or (photo.ndim == 3 and photo.shape[2] != 3):
        raise ValueError(f'a photo as an array must be uint8, (H, W, 3) or (H, W); got {photo.dtype}, {photo.shape}')
    return photo if photo.ndim == 3 else photo[..., None].repeat(3, 2)


def _download(address: str, private_addresses: bool) -> bytes:
    data = io.BytesIO()
    try:
        download(address, data, _MAX_BYTES, _SECONDS, _SILENCE, private_addresses)
    except (OSError, ValueError) as error:
        raise ValueError(f'{address}: cannot be read ({error})') from error
    return data.getvalue()


def _check_header(file: FewReadsBytes | FewReadsFile, name: str, max_pixels: int) -> None:
    """Width and height are known ahead of decoding, which is where a bomb would go off."""
    try:
        with Image.open(file) as image:
            size = image.size
            is_jpeg = image.format in ('JPEG', 'MPO')
            count = file.seek(0, io.SEEK_END)
            file.seek(0)
            file.may_be_decoded()
            data = file.read() if is_jpeg and count <= _MAX_BYTES else b''
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f'{name}: too many pixels; make it smaller first ({error})') from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'{name}: not a readable image ({one_line(error)})') from error
    _check_size(size, name, max_pixels)
    try:
        check_pixels(size, count, max_pixels)
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from error
    try:
        check_jpeg(data, size[0] * size[1])
    except ValueError as error:
        raise ValueError(f'{name}: not a readable image ({error})') from error


def _check_size(size: tuple[int, ...], name: str, max_pixels: int) -> None:
    width, height = size
    if not width * height:
        raise ValueError(f'{name} has no pixels: {width} x {height}')
    if width * height > max_pixels:
        raise ValueError(f'{name} has {width} x {height} pixels, more than {max_pixels:,}; make it smaller first')
    if max(size) > _MAX_SIDE:
        raise ValueError(f'{name} has {width} x {height} pixels, a side of more than {_MAX_SIDE:,}; cut it first')
