"""Weights that were read, the model that they are for, and what trains it, behind whatever wraps them."""

from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from ..checkpoint_files import require_finite
from ..models.checkpoints import differences
from ..models.renaming import State


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
    require_finite(state, path)
    return state


def unwrap(model: Any) -> nn.Module:
    """The model itself, where a distributed runner, or test-time augmentation, wrapped it."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def optim_wrappers(runner: Any) -> list[OptimWrapper]:
    """The one of a runner, or those of several optimisers."""
    wrapper = runner.optim_wrapper
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]
