"""What an inferencer found for a photo and a sentence."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from ... import coco_masks
from ...visualization import caption, overlay
from .photos import decode_photo


@dataclass(frozen=True, eq=False, repr=False)
class RISResult:
    """A mask and what follows from it, all at the photo's own size.

    Attributes:
        photo: the image file, or the RGB picture (H, W, 3) uint8.
        sentence: which object was meant.
        score: (H, W) float32, the probability of each pixel to belong to the object; None: the model draws polygons,
            and a pixel has none.
        mask: (H, W) bool, where the score is above the threshold; or what the polygons enclose.
        understood: False: the model's tokenizer knows no word of the sentence, which the mask then does not answer.
        no_target: the probability, as the model says it, that the sentence means nothing in the photo; above 0.5 the
            mask is empty. None: the model does not say.
        unmet: words of the sentence that no sentence of the training had, of a model that learned all its words there.
            None: it is no such, or not known to be one.
    """

    photo: Path | np.ndarray
    sentence: str
    score: np.ndarray | None
    mask: np.ndarray
    understood: bool = True
    no_target: float | None = None
    unmet: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        numbers = f'box={self.box}, area={self.area}, '
        numbers += 'no scores' if self.confidence is None else f'confidence={self.confidence:.3f}'
        numbers += '' if self.understood else ', understood=False'
        numbers += f', unmet={self.unmet}' if self.unmet else ''
        numbers += '' if self.no_target is None else f', no_target={self.no_target:.3f}'
        return f'RISResult(sentence={self.sentence!r}, {numbers})'

    @property
    def means_nothing(self) -> bool:
        """Whether the model says that the sentence means nothing in the photo."""
        return self.no_target is not None and self.no_target > 0.5

    @cached_property
    def box(self) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of the mask in pixels, the last two exclusive; None if it is empty."""
        columns, rows = self.mask.any(0).nonzero()[0], self.mask.any(1).nonzero()[0]
        if not len(rows):
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @cached_property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.mask.sum())

    @cached_property
    def confidence(self) -> float | None:
        """Mean score over the mask, in [0, 1]; 0 if it is empty; None where there are no scores. Not calibrated: for
        comparing results of one model."""
        if self.score is None:
            return None
        return float(self.score[self.mask].mean(dtype=np.float64)) if self.area else 0.0

    @cached_property
    def rle(self) -> dict:
        """COCO's run lengths: ``size`` (height, width) and ``counts`` as text, ready for JSON."""
        rle = coco_masks.encode(np.asfortranarray(self.mask.astype(np.uint8)))
        return {'size': [int(n) for n in rle['size']], 'counts': rle['counts'].decode()}

    def overlay(self) -> np.ndarray:
        """The photo with the mask and the sentence, (H + caption, W, 3) uint8 RGB."""
        if isinstance(self.photo, np.ndarray):
            photo = self.photo
        else:  # as the model saw it, not as Pillow would
            photo = decode_photo(self.photo.read_bytes(), str(self.photo))
        return caption(overlay(photo, self.mask), self.sentence)

    def to_json(self) -> dict:
        """Everything but the pictures: for a line of JSON."""
        return {
            'photo': None if isinstance(self.photo, np.ndarray) else str(self.photo),
            'sentence': self.sentence,
            'box': self.box,
            'area': self.area,
            'confidence': None if self.confidence is None else round(self.confidence, 4),
            'understood': self.understood,
            **({} if self.unmet is None else {'unmet': list(self.unmet)}),
            **({} if self.no_target is None else {'no_target': round(self.no_target, 4)}),
            'rle': self.rle,
        }

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``<name>_mask.png`` (0 and 255, the photo's size) and ``<name>_overlay.png``.

        Args:
            folder: made if missing.
            name: default: the photo's, without its suffix, and the sentence: ``photo_the-red-circle``. Photos of one
                name in several folders need folders, or names, of their own here, too.

        Returns:
            the two paths.

        Raises:
            ValueError: no name, and a photo that came from no file.
        """
        if name is None:
            if isinstance(self.photo, np.ndarray):
                raise ValueError('a photo that came from no file has no name: save(folder, name)')
            name = f'{self.photo.stem}_{_as_name(self.sentence)}'
        pictures = {'mask': self.mask, 'overlay': self.overlay()}
        paths = [Path(folder, f'{name}_{kind}.png') for kind in pictures]
        for picture, path in zip(pictures.values(), paths, strict=True):
            write_image(picture, path)
        return paths


def _as_name(sentence: str) -> str:
    """Of a file: words, up to the 255 bytes that a name may have, and a number where that is not the whole sentence."""
    words = re.sub(r'\W+', '-', sentence).strip('-')[:50]
    return words if words == sentence.replace(' ', '-') else f'{words}-{crc32(sentence.encode()):08x}'


def write_image(picture: np.ndarray, path: Path) -> None:
    """A PNG, whole or not at all; a bool mask as 0 and 255. Missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.part')
    image = Image.fromarray(picture.astype(np.uint8) * 255 if picture.dtype == bool else picture)
    try:
        # a photo of 640 x 480 is 3 % larger so than by the default, and takes a third of the time
        image.save(part, format='PNG', compress_level=1)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
