"""A model as one ONNX graph: photo, token ids and word mask in, logits out, and whether nothing is meant, of models
that say so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...output_files import new_folder
from ..onnx_segmentor import INPUTS, ONNX, OUTPUTS, OnnxSegmentor, require_onnx
from .folder import write_description
from .traced import Segment, trace


def export_onnx(model: Any, folder: str | Path, tolerance: float = 1e-4) -> float:
    """Write ``model.onnx``, ``config.json`` and ``tokenizer/``, which ``RISInferencer(folder)`` runs.

    The graph takes any number of photos, as many sentences, and up to ``max_tokens`` words; photos are of the config's
    size.
    Weights of more than 1.5 GB, which one file of ONNX may not hold, lie beside it in ``model.onnx.data``.

    Args:
        model: from :func:`load_model`; it stays as it is, wherever it is.
        folder: a new or empty one; it appears when it is whole and checked.
        tolerance: how far logits of onnxruntime may be from PyTorch's, the largest of which counts as 1 where it is
            above, as rounding grows with it.

    Returns:
        how far they are, over three batches of other sizes.

    Raises:
        FileExistsError: there is something in the folder.
        ImportError: onnx, onnxscript or onnxruntime is missing.
        ValueError: an exported model, one that draws polygons, one without an input size, or with a part that ONNX does
            not know; logits that differ by more than the tolerance; nothing is written then.
    """
    require_onnx()
    with new_folder(folder) as part, torch.no_grad():
        return write_checked(model, part, tolerance)


def write_checked(model: Any, folder: Path, tolerance: float) -> float:
    """The files of :func:`export_onnx`, into a folder that is there."""
    graph = Segment(model)
    _convert(trace(graph), OUTPUTS if graph.says_no_target else OUTPUTS[:1]).save(str(folder / ONNX))
    write_description(model, folder, {})
    return graph.check(OnnxSegmentor(folder).outputs, tolerance)


def _convert(program: torch.export.ExportedProgram, outputs: Sequence[str]) -> Any:
    try:
        return torch.onnx.export(
            program,
            dynamo=True,
            dynamic_shapes={'image': {0: 'batch'}, 'token_ids': {1: 'words'}, 'word_mask': {}},  # names of its own
            input_names=INPUTS,
            output_names=outputs,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:  # a page of text around what stops it
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ValueError(
            f'the model cannot be written as ONNX: {cause}. tools/deployment/export_torch.py needs no ONNX'
        ) from error
