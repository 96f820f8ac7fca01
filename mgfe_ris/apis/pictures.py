"""Results as files."""

from pathlib import Path

import numpy as np
from PIL import Image

from ..visualization import caption, overlay, read_photo


def save_result(folder: str | Path, photo: str | Path, sentence: str, mask: np.ndarray) -> list[Path]:
    """Write ``<photo>_mask.png`` (0 and 255, the photo's size) and ``<photo>_overlay.png``; returns their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'{Path(photo).stem}_{kind}.png' for kind in ('mask', 'overlay')]
    Image.fromarray(mask.astype(np.uint8) * 255).save(paths[0])
    Image.fromarray(caption(overlay(read_photo(photo), mask), sentence)).save(paths[1])
    return paths
