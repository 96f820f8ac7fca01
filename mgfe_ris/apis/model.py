"""From files to a model, and from a photo and a sentence to a mask."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from ..checkpoint_files import convert_checkpoint
from ..models.checkpoints import State, differences, state_dict_of
from .config import load_config, weights_in


def load_model(
    config: str | Path,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    options: dict | None = None,
) -> nn.Module:
    """Build a model for inference.

    Args:
        config: a config file, the name of one of ours, or a folder that training or ``save_folder`` wrote.
        checkpoint: ``.pth`` or ``.safetensors``; default: the folder's (the best one that training left), or, for a
            config, the weights that the config names.
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
    if checkpoint is None and Path(config).is_dir():
        checkpoint = weights_in(config)
    model = build_model(load_config(config, options))
    if checkpoint is None:
        model.init_weights()
    else:
        model.load_state_dict(check_checkpoint(model, checkpoint))
    return model.to(device).eval()


def build_model(cfg: Config) -> BaseModel:
    """The model of a config, with weights yet to be loaded, and its config as ``model.cfg``.

    Raises:
        ValueError: no config of a model, or of parts that are not registered.
    """
    if 'model' not in cfg:
        raise ValueError(f'{cfg.filename}: no config of a model: it has no "model"')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    try:
        model = MODELS.build(cfg.model)
    except KeyError as error:  # of a registry: a type that nobody registered
        raise ValueError(f'{cfg.filename}: {error.args[0]}') from error
    model.cfg = cfg
    return model


def check_checkpoint(model: nn.Module, path: str | Path, whole: bool = True) -> State:
    """Read a checkpoint's weights and compare them with the model's, before anything long starts.

    Args:
        model: of the config.
        path: a local file, or a folder with weights.
        whole: every name must fit; False for a start from another model's weights, where common names must, and there
            must be some.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, one of another model (the first differences are listed), or one that was
            trained with another tokenizer.
    """
    path = weights_in(path)
    return check_weights(model, read_weights(path), path, whole)


def check_weights(model: nn.Module, state: State, path: str | Path, whole: bool = True) -> State:
    """Compare weights that were read from ``path`` with the model's; see :func:`check_checkpoint`."""
    ours = unwrap(model).state_dict()
    words = 'data_preprocessor.vocabulary'
    if words in state and words in ours and not torch.equal(state[words], ours[words].cpu()):
        raise ValueError(
            f'{path} was trained with another tokenizer than the config names. Use the config that training wrote, or '
            '--from-scratch for a model trained so'
        )
    if any(name.startswith('classifier.conv1_4.') for name in state):
        raise ValueError(
            f'{path} is a checkpoint of the official LAVT: convert it with tools/model_converters/lavt2mgfe.py first'
        )
    wrong = differences(state, ours, whole=whole)
    if not state.keys() & ours.keys():
        wrong = [f'no name in common, {next(iter(state))} for one is not in the model']
    if wrong:
        raise ValueError(
            f'{path} does not fit the model of the config: {len(wrong)} differences, first '
            f'{"; ".join(wrong[:3])}. Use the config that the checkpoint was trained with'
        )
    return state


def unwrap(model: Any) -> nn.Module:
    """The model itself, where a distributed runner wrapped it."""
    return model.module if is_model_wrapper(model) else model


def read_weights(path: str | Path) -> State:
    """The state dict in a checkpoint, ``.pth`` or ``.safetensors``; only tensors and plain records are unpickled.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a checkpoint, or holds other objects.
    """
    return convert_checkpoint(path, state_dict_of)


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
    data = prepare_photo(model, photo, sentence)
    with torch.inference_mode():
        sample = model.test_step(data)[0]
    logits = F.interpolate(sample.seg_logits.data[None].float(), sample.ori_shape[:2], mode='bilinear')
    return (logits[0].argmax(0) == 1).cpu().numpy()


def prepare_photo(model: Any, photo: str | Path, sentence: str) -> dict:
    """What a loader would hand to the model's preprocessor: a batch of one; see :func:`segment_photo`."""
    if not sentence.strip():
        raise ValueError('the sentence is empty: say which object is meant')
    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    return pseudo_collate([pipeline(dict(img_path=str(photo), sentences=[sentence], sent_ids=[0]))])


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
