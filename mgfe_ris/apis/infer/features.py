"""What happens inside of a model for one photo and one sentence."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .inferencer import RISInferencer
from .photos import Photo


def stage_features(model: Any, photo: Photo, sentence: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """What meets at the seam after each stage of the encoder, of which figure 7 of the paper is drawn.

    Args:
        model: from :func:`load_model`.
        photo: in any form that :class:`RISInferencer` takes.
        sentence: which object is meant.

    Returns:
        per stage two float32 arrays (C_i, H_i, W_i): V, the visual features ahead of language, into which language
        of the stages before has gone already; and F, what is added to them here. The last stage's F goes nowhere in
        a model whose decoder reads G (LAVT), so it was never trained there.

    Raises:
        FileNotFoundError, ValueError: see :class:`RISInferencer`; a model of another shape, without such a seam.
    """
    if not hasattr(getattr(model, 'neck', None), 'bind'):
        raise ValueError(
            f'a {type(model).__name__} has no stages at which language comes in through a neck; ReferringSegmentor has'
        )
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    with torch.inference_mode():
        data = model.data_preprocessor(RISInferencer(model).prepare(photo, sentence))
        fuse = model.neck.bind(model.text_encoder(data['token_ids'], data['word_mask']))

        def watch(stage: int, v: Tensor) -> tuple[Tensor, Tensor]:
            out, feedback = fuse(stage, v)
            seen.append((_of_one(v), _of_one(feedback)))
            return out, feedback

        model.encoder(data['inputs'], fuse=watch)
    return seen


def _of_one(x: Tensor) -> np.ndarray:
    # a copy: the layers after may write into what they are handed
    return x[0].float().cpu().numpy().copy()
