"""What the stages of a model make of a photo and a sentence, as heat on the photo (figure 7 of the paper)."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .draw import caption, grid, outlined, overlay, resized


class Response(NamedTuple):
    """What a model made of one sentence about a photo."""

    sentence: str
    mask: np.ndarray
    """(h, w) bool: the prediction."""
    stages: Sequence[tuple[np.ndarray, np.ndarray]]
    """V and F of each stage, both (C_i, H_i, W_i): see :func:`mgfe_ris.apis.stage_features`."""


STAGES_LEGEND = (
    'What each stage of the encoder sees. V: visual features, before language. F: what the words add to them; V + F '
    'goes on. Drawn is the length (norm over channels) of these vectors at each place, from 0 (dark violet) to the '
    'number below the picture (yellow); F and its change share that number in each stage. White line: the object that '
    'the first sentence means. Orange: prediction. Where F changes with the sentence, the model listens to the words; '
    'where F is high but does not change, it adds the same whatever is said. A model whose decoder reads no F (LAVT) '
    "makes no use of the last stage's."
)


def draw_stages(photo: np.ndarray, truth: np.ndarray, asked: Response, other: Response) -> np.ndarray:
    """Three rows, a column per stage: the norms of V, of F, and of how F changes with another sentence.

    Beside them stand the photo, and what was predicted for each sentence; :data:`STAGES_LEGEND` explains the picture.

    Args:
        photo: (H, W, 3) RGB.
        truth: (h, w) bool: the object that the first sentence means.
        asked: what the model made of that sentence.
        other: what it made of another sentence about the same photo.
    """
    photo = resized(photo)
    v, f = ([_norm(features) for features in kind] for kind in zip(*asked.stages, strict=True))
    change = [_norm(f - of_other) for (_, f), (_, of_other) in zip(asked.stages, other.stages, strict=True)]
    shared = [max(a.max(), b.max()) for a, b in zip(f, change, strict=True)]
    rows = (
        (photo, f'"{asked.sentence}"', 'V, before language', v, [x.max() for x in v]),
        (overlay(photo, asked.mask), f'prediction for "{asked.sentence}"', 'F, added by the words', f, shared),
        (
            overlay(photo, other.mask),
            f'prediction for other words, "{other.sentence}"',
            'change of F by them',
            change,
            shared,
        ),
    )
    pictures = []
    for left, text, what, maps, highest in rows:
        pictures.append(caption(outlined(left, truth), text))
        for i, (values, high) in enumerate(zip(maps, highest, strict=True), 1):
            heated = outlined(heat(photo, values, high), truth)
            pictures.append(caption(heated, f'stage {i}: {what}\n0 to {high:.3g}'))
    return grid(pictures, 1 + len(asked.stages))


def heat(photo: np.ndarray, values: np.ndarray, highest: float, alpha: float = 0.7) -> np.ndarray:
    """(H, W, 3) RGB and (h, w) values -> the photo in grey under viridis from 0 to ``highest``."""
    scaled = np.uint8(255 * np.clip(values / max(highest, 1e-12), 0, 1))
    height, width = photo.shape[:2]
    scaled = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    grey = photo.mean(-1, keepdims=True)  # its own colours would be taken for heat
    return (alpha * colours + (1 - alpha) * grey).astype(np.uint8)


def _norm(x: np.ndarray) -> np.ndarray:
    """(C, H, W) -> (H, W)."""
    return np.linalg.norm(x, axis=0)
