"""A model that was exported as an ONNX graph, in a segmentor's place."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from torch import Tensor

from ..models.base import write_masks
from ..structures import MaskRule
from ..training_words import read_words
from .config import CONFIG, load_config

ONNX = 'model.onnx'
INPUTS = ('image', 'token_ids', 'word_mask')
OUTPUTS = ('logits', 'no_target')
"""The second one of models that say whether a sentence means nothing in its photo."""


class OnnxSegmentor(BaseModel):
    """What ``export_onnx`` wrote, in a segmentor's place: on the CPU, for tests only.

    Args:
        folder: with ``model.onnx``, ``config.json`` and ``tokenizer/``.

    Raises:
        FileNotFoundError: no such files.
        ImportError: onnxruntime is missing.
        ValueError: ``model.onnx`` is broken, or another graph.
    """

    def __init__(self, folder: str | Path):
        path = Path(folder) / ONNX
        self.cfg: Config = load_config(Path(folder) / CONFIG)
        super().__init__(_preprocessor(self.cfg))
        self.data_preprocessor.tokenizer.met = read_words(folder)
        self.mask_rule = MaskRule(**(self.cfg.model.get('mask') or {}))
        self.session = _open(path)
        self.size = tuple(self.session.get_inputs()[0].shape[2:])
        self.path = path
        self.eval()

    def forward(
        self, inputs: Tensor, token_ids: Tensor, word_mask: Tensor, data_samples: Any = None, mode: str = 'tensor'
    ) -> Any:
        """As :meth:`ReferringModel.forward`, without ``loss``.

        Raises:
            ValueError: photos of another size than the graph's, or ``loss``.
        """
        if mode not in ('tensor', 'predict'):
            raise ValueError(f"an exported model has the modes 'tensor' and 'predict'; got {mode!r}")
        logits, *no_target = self.outputs(inputs, token_ids, word_mask)
        return logits if mode == 'tensor' else self.predict(logits, data_samples, *no_target)

    def outputs(self, inputs: Tensor, token_ids: Tensor, word_mask: Tensor) -> tuple[Tensor, ...]:
        """What the graph gives, by :data:`OUTPUTS`: logits, and, of some models, the logit of no target, (B,)."""
        if tuple(inputs.shape[2:]) != self.size:
            raise ValueError(
                'the model was exported for photos of {} x {} pixels; got {} x {}'.format(*self.size, *inputs.shape[2:])
            )
        photos = inputs.expand(token_ids.shape[0], -1, -1, -1)
        arrays = (tensor.numpy() for tensor in (photos, token_ids, word_mask))
        found = self.session.run(None, dict(zip(INPUTS, arrays, strict=True)))
        return tuple(torch.from_numpy(array) for array in found)

    def predict(self, logits: Tensor, data_samples: Any, no_target: Tensor | None = None) -> Any:
        """As :meth:`ReferringModel.predict`."""
        return write_masks(logits, data_samples, self.mask_rule, no_target)

    def fingerprint(self) -> str:
        """Of the graph and what lies beside it, in the place of the weights'; reads all of it."""
        digest = sha256()
        for part in sorted(self.path.parent.glob(f'{ONNX}*')):
            with part.open('rb') as file:
                while chunk := file.read(2**20):
                    digest.update(chunk)
        return digest.hexdigest()[:16]


def _preprocessor(cfg: Config) -> Any:
    if 'data_preprocessor' not in cfg.model:
        raise ValueError(f'{cfg.filename}: no config of an exported model: it has no "model.data_preprocessor"')
    return MODELS.build(cfg.model.data_preprocessor)


def require_onnx(*packages: str) -> None:
    """Raises an ImportError where packages are missing; by default all that ``export_onnx`` needs."""
    from importlib.util import find_spec

    packages = packages or ('onnx', 'onnxscript', 'onnxruntime')
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ImportError(f'missing: {", ".join(missing)}; pip install -r tools/deployment/requirements.txt')


def _open(path: Path) -> Any:
    require_onnx('onnxruntime')
    import onnxruntime

    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file; tools/deployment/export_onnx.py writes it')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    except Exception as error:  # onnxruntime has a dozen kinds, which share no base
        reason = str(error).splitlines()[0][:200]
        raise ValueError(f'{path}: onnxruntime cannot open it, is it whole? ({reason})') from error
    names = tuple(value.name for value in session.get_inputs())
    if names != INPUTS:
        raise ValueError(f'{path}: expected a graph of {", ".join(INPUTS)}, got one of {", ".join(names)}')
    return session
