"""A model as one graph of ``torch.export``: for PyTorch without our code, and for what other runtimes make of it."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ...models import ReferringModel
from ...output_files import new_folder
from ...structures import NO_SCORES
from ..config import input_size
from .folder import write_description

GRAPH = 'model.pt2'


def export_torch(model: Any, folder: str | Path, compile: bool = False, tolerance: float = 1e-4) -> float:
    """Write ``model.pt2``, ``config.json`` and ``tokenizer/``, for PyTorch without our code.

    The graph takes any number of photos, as many sentences, and up to ``max_tokens`` words; photos are of the config's
    size.

    Args:
        model: from :func:`load_model`; it stays as it is, wherever it is.
        folder: a new or empty one; it appears when it is whole and checked.
        compile: False: for ``torch.export.load``; True: C++ of AOTInductor, for ``torch._inductor.aoti_load_package``
            on a CPU and a torch like these.
        tolerance: how far logits of what was written may be from the model's, the largest of which counts as 1 where
            it is above, as rounding grows with it.

    Returns:
        how far they are, over three batches of other sizes.

    Raises:
        FileExistsError: there is something in the folder.
        ValueError: an exported model, one that draws polygons, or one without an input size; no C++ compiler; logits
            that differ by more than the tolerance; nothing is written then.
    """
    if compile:
        _require_compiler()
    with new_folder(folder) as part, torch.no_grad():
        graph, path = Segment(model), str(part / GRAPH)
        if compile:
            torch._inductor.aoti_compile_and_package(trace(graph), package_path=path)
        else:
            torch.export.save(trace(graph), path)
        write_description(model, part, {})
        return graph.check(
            torch._inductor.aoti_load_package(path) if compile else torch.export.load(path).module(), tolerance
        )


def _require_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        raise ValueError('compiling needs a C++ compiler, e.g. g++, on PATH or in the variable CXX') from error


class Segment(nn.Module):
    """``ReferringModel.segment_with_no_target`` alone, of a copy on the CPU: no strings, no samples, no gradients.

    Args:
        model: from :func:`load_model`; it stays as it is.

    Raises:
        ValueError: not such a model; one that draws polygons; one whose test pipeline does not say how large photos
            are.
    """

    def __init__(self, model: Any):
        super().__init__()
        if not isinstance(model, ReferringModel):
            raise ValueError(f'expected a model with its weights, got a {type(model).__name__}: it is exported already')
        if not model.gives_scores:
            raise ValueError(f'an exported graph gives logits; {NO_SCORES}. save_folder keeps {type(model).__name__}')
        self.size = input_size(model.cfg)
        tokenizer = model.data_preprocessor.tokenizer
        self.max_tokens, self.vocab_size = tokenizer.max_tokens, tokenizer.tokenizer.vocab_size
        self.model = copy.deepcopy(model).requires_grad_(False).cpu()
        self.model.__dict__.pop('segment', None)  # by which torch.compile hides the class's
        self.eval()

    @property
    def says_no_target(self) -> bool:
        """Whether the model says if a sentence means nothing in its photo."""
        return type(self.model).segment_with_no_target is not ReferringModel.segment_with_no_target

    def forward(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """image (B, 3, H, W), ids and mask (B, T) -> logits (B, 1 or 2, h, w); of models that say whether a sentence
        means nothing, also the logit of that, (B,)."""
        logits, no_target = self.model.segment_with_no_target(image, token_ids, word_mask)
        return logits if no_target is None else (logits, no_target)

    def example(self, batch: int, words: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Arguments of :meth:`forward`, drawn at random: sentences of 2 to ``words`` tokens, or to ``max_tokens``."""
        words = min(words, self.max_tokens)
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(self.vocab_size, (batch, words), generator=generator)
        # 2, the marks of start and end: a single word is the same for all pixels, and an instance norm of what has no
        # variance shows only how it was rounded
        mask = torch.arange(words) < torch.randint(2, words + 1, (batch, 1), generator=generator)
        return torch.randn(batch, 3, *self.size, generator=generator), ids, mask

    def check(self, exported: Callable[..., Tensor | Sequence[Tensor]], tolerance: float) -> float:
        """The largest difference of logits, for batches of other sizes than the one that was traced.

        Raises:
            ValueError: it is larger than the tolerance, times the largest logit where that is above 1; or no number.
        """
        worst, scale = [], 1.0
        for batch, words in ((1, 2), (2, 5), (4, self.max_tokens)):
            example = self.example(batch, words, seed=batch)
            for found, expected in zip(_outputs(exported(*example)), _outputs(self(*example)), strict=True):
                worst.append((found - expected).abs().max())
                scale = max(scale, float(expected.abs().max()))
        if not np.max(worst) <= tolerance * scale:
            raise ValueError(
                f'logits of the exported graph differ from those of the model by {np.max(worst):.2g}, more than '
                f'{tolerance * scale:.2g}; nothing was written. Allow more where float32 itself rounds so much'
            )
        return float(np.max(worst))


def _outputs(found: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return (found,) if isinstance(found, Tensor) else found


def trace(graph: Segment) -> ExportedProgram:
    """The graph, for any number of photos, as many sentences, and words up to the tokenizer's limit."""
    # torch 2.7 wants an end of the range, since it rules the largest integer out
    batch, words = Dim('batch', min=1, max=2**31 - 1), Dim('words', min=1, max=graph.max_tokens)
    shapes = {'image': {0: batch}, 'token_ids': {0: batch, 1: words}, 'word_mask': {0: batch, 1: words}}
    # three sentences of seven words: sizes that no other dimension has, so that none is taken for another
    return torch.export.export(graph, graph.example(3, 7), dynamic_shapes=shapes)
