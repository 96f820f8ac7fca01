"""A model and its graphs of ONNX side by side: bytes, milliseconds, and what they score."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator

from ...engine import RISRunner
from ...profiling import Setting, Workload, count_complexity, median_ms
from ..config import input_size
from ..onnx_segmentor import ONNX, OnnxSegmentor

TORCH = 'PyTorch'


def compare_exports(
    model: Any, folders: Sequence[str | Path], repeats: int = 15, score: bool = False
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Measure a model and what was exported of it, on the CPU, in turn, with as many threads as torch has.

    Args:
        model: from :func:`load_model`, on the CPU.
        folders: that ``export_onnx`` or ``export_int8`` wrote of it.
        repeats: of the time, of which the median counts.
        score: on the validation data of the model's config, with its metrics, every sentence.

    Returns:
        - ``parameters`` and ``macs`` of one photo with a sentence of full length, in millions and in 1e9, see
          :class:`Complexity`;
        - of ``PyTorch`` and of each folder: ``bytes`` of the graph, or of float32 weights; ``ms`` for one photo and one
          sentence of full length; and, with ``score``, what the metrics say.

    Raises:
        FileNotFoundError, ValueError: no exported folder, or one for photos of another size; an exported model in the
            place of the model; no or broken data.
        ImportError: onnxruntime is missing.
    """
    if isinstance(model, OnnxSegmentor):
        raise ValueError(f'{model.path.parent}: exported; name the model that it was made of first')
    size = input_size(model.cfg)
    models: dict[str, Any] = {TORCH: model, **{str(folder): OnnxSegmentor(folder) for folder in folders}}
    for name, exported in models.items():
        if name != TORCH and exported.size != size:
            raise ValueError(f'{name}: exported for photos of {exported.size} pixels, the model takes {size}')
    evaluated = score_together(models, model.cfg) if score else {name: {} for name in models}
    complexity = count_complexity(model, size, model.data_preprocessor.tokenizer.max_tokens)
    times = median_ms([Workload(one, Setting(size=size)) for one in models.values()], repeats)
    rows = {
        name: dict(bytes=_bytes(one), ms=ms, **evaluated[name])
        for (name, one), ms in zip(models.items(), times, strict=True)
    }
    parameters = complexity.image_params + complexity.text_params
    macs = complexity.image_modules + complexity.image_attention + complexity.text
    return dict(parameters=parameters, macs=macs), rows


@torch.no_grad()
def score_together(models: Mapping[str, Any], cfg: Config) -> dict[str, dict[str, float]]:
    """Metrics of the validation data by model; each photo is read once for all."""
    for key in ('val_dataloader', 'val_evaluator'):
        if not cfg.get(key):
            raise ValueError(f'{cfg.filename}: nothing to score on: it has no {key}')
    loader: Any = RISRunner.build_dataloader(cfg.val_dataloader, seed=0)
    evaluators = {name: Evaluator(copy.deepcopy(cfg.val_evaluator)) for name in models}
    for batch in loader:
        for name, model in models.items():
            evaluators[name].process(data_samples=model.test_step(batch), data_batch=batch)
    for evaluator in evaluators.values():
        evaluator.dataset_meta = loader.dataset.metainfo
    return {name: evaluator.evaluate(len(loader.dataset)) for name, evaluator in evaluators.items()}


def _bytes(model: Any) -> int:
    if isinstance(model, OnnxSegmentor):
        return sum(path.stat().st_size for path in model.path.parent.glob(f'{ONNX}*'))
    return sum(value.nbytes for value in model.state_dict().values())
