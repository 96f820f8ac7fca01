"""What happens inside of a model for one photo and one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .model import prepare_photo


def stage_features(model: Any, photo: str | Path, sentence: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each stage of the encoder, as figure 7 of the paper shows them.

    Args:
        model: from :func:`load_model`.
        photo: image file.
        sentence: which object is meant.

    Returns:
        per stage two float32 arrays (H_i, W_i): the norm over channels of what the decoder reads, ahead of its
        normalisation; and the norm of F, what language adds to the visual features.

    Raises:
        FileNotFoundError, ValueError: see :func:`segment_photo`.
    """
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    with torch.inference_mode():
        data = model.data_preprocessor(prepare_photo(model, photo, sentence))
        words = model.text_encoder(data['token_ids'], data['word_mask'])
        fuse = model.neck.bind(words, data['word_mask'])

        def watch(stage: int, v: Tensor) -> tuple[Tensor, Tensor]:
            out, feedback = fuse(stage, v)
            seen.append((_norm(out), _norm(feedback)))
            return out, feedback

        model.encoder(data['inputs'], fuse=watch)
    return seen


def _norm(x: Tensor) -> np.ndarray:
    return x[0].float().norm(dim=0).cpu().numpy()
