"""From files to a model, and from a photo and a sentence to a mask."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import is_model_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from .config import load_config


def load_model(
    config: str | Path,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    options: dict | None = None,
) -> nn.Module:
    """Build a model for inference.

    Args:
        config: a config file, the name of one of ours, or a folder that training wrote (config and checkpoint).
        checkpoint: file that training wrote; default: the best one in the folder, or, for a config, the weights
            that the config names.
        device: default: cuda if there is one, else cpu.
        options: changes of the config by dotted key.

    Returns:
        the model in eval mode, its config as ``model.cfg``.

    Raises:
        FileNotFoundError: no such file, or no config or checkpoint in the folder.
        ValueError: a checkpoint of another shape, or CUDA asked for where there is none.
    """
    device = _check_device(device)
    if checkpoint is not None:
        _require_checkpoint(checkpoint)
    config = Path(config)
    if config.is_dir():
        checkpoint = checkpoint or _only_file(config, 'best_*.pth')
        config = _only_file(config, '*.py')
    cfg = load_config(config, options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = MODELS.build(cfg.model)
    if checkpoint is None:
        model.init_weights()
    else:
        model.load_state_dict(check_checkpoint(model, checkpoint))
    model.cfg = cfg
    return model.to(device).eval()


def check_checkpoint(model: nn.Module, path: str | Path, whole: bool = True) -> dict[str, torch.Tensor]:
    """Read a checkpoint's weights and compare them with the model's, before anything long starts.

    Args:
        model: of the config.
        path: a local file.
        whole: every name must fit; False for a start from another model's weights, where only common names must.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, one of another model (the first differences are listed), or one that was
            trained with another tokenizer.
    """
    state = read_weights(path)
    ours = unwrap(model).state_dict()
    words = 'data_preprocessor.vocabulary'
    if words in state and words in ours and not torch.equal(state[words], ours[words].cpu()):
        raise ValueError(
            f'{path} was trained with another tokenizer than the config names. Use the config that training wrote, or '
            '--from-scratch for a model trained so'
        )
    wrong = [f'{k} is missing' for k in ours if whole and k not in state]
    wrong += [f'{k} is not in the model' for k in state if whole and k not in ours]
    wrong += [
        f'{k} is {tuple(state[k].shape)}, the model has {tuple(ours[k].shape)}'
        for k in ours
        if k in state and state[k].shape != ours[k].shape
    ]
    if wrong:
        raise ValueError(
            f'{path} does not fit the model of the config: {len(wrong)} differences, first '
            f'{"; ".join(wrong[:3])}. Use the config that the checkpoint was trained with'
        )
    return state


def unwrap(model: Any) -> nn.Module:
    """The model itself, where a distributed runner wrapped it."""
    return model.module if is_model_wrapper(model) else model


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict in a checkpoint of mmengine's; nothing but tensors and plain records is unpickled.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a checkpoint, or holds other objects.
    """
    _require_checkpoint(path)
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        asked = re.search(r'GLOBAL (\S+)', str(error))  # torch's text is a page long, and advises to load unsafely
        reason = f'it asks for {asked[1]}' if asked else 'it is no whole file of torch.save'
        raise ValueError(f'{path}: not a checkpoint that can be read safely: {reason}') from error
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f'{path}: expected a state dict, or a dict with one under "state_dict"')
    return state


def segment_photo(model: Any, photo: str | Path, sentence: str) -> np.ndarray:
    """One photo, one sentence, through the config's own test pipeline.

    Args:
        model: from :func:`load_model`.
        photo: image file.
        sentence: which object is meant.

    Returns:
        bool mask of the photo's size, (height, width).

    Raises:
        FileNotFoundError: no such photo.
        ValueError: not an image, or an empty sentence.
    """
    if not sentence.strip():
        raise ValueError('the sentence is empty: say which object is meant')
    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    data = pipeline(dict(img_path=str(photo), sentences=[sentence], sent_ids=[0]))
    with torch.inference_mode():
        sample = model.test_step(pseudo_collate([data]))[0]
    logits = F.interpolate(sample.seg_logits.data[None].float(), sample.ori_shape[:2], mode='bilinear')
    return (logits[0].argmax(0) == 1).cpu().numpy()


def _check_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'device {device!r}: expected cpu, cuda, cuda:1, ...') from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device {device}: this machine or this build of torch has no CUDA; use cpu')
    return device


def _require_checkpoint(path: str | Path) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such checkpoint; only local files are read, so download it first')


def _only_file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = [path.name for path in found]
        raise FileNotFoundError(f'{folder}: expected one file {pattern}, found {names}; name the one you mean')
    return found[0]


class _Ignored:
    """Stands in for what mmengine writes beside the weights, logged numbers: none of it is wanted, nor built."""

    def __init__(self, *args: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _statistic(owner: object, name: str) -> None:
    """In place of getattr, with which any file could run code: HistoryBuffer's pickles use it for these four."""
    if owner is not _Ignored or name not in ('current', 'max', 'mean', 'min'):
        raise ValueError(f'GLOBAL getattr of {name}')


# numpy 1 and 2 name the functions differently
_STAND_INS: list[Callable | tuple[Callable, str]] = [
    (_statistic, 'builtins.getattr'),
    (_Ignored, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_Ignored, 'numpy.ndarray'),
    (_Ignored, 'numpy.dtype'),
    *((_Ignored, f'numpy.{core}.multiarray.{f}') for core in ('core', '_core') for f in ('_reconstruct', 'scalar')),
]
