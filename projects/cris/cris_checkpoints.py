"""CRIS's official weights, under our names and back."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from mgfe_ris.models.checkpoints import State, from_clip_resnet, from_clip_text, state_dict_of, to_clip_text


def from_cris(checkpoint: Mapping[str, Any]) -> State:
    """The official CRIS's weights -> ours; every name is accounted for.

    Args:
        checkpoint: what its training saves, ``{'state_dict': ...}`` with ``module.`` before each name, or a state dict.

    Raises:
        ValueError: names that no CRIS has.
    """
    state = state_dict_of(checkpoint)
    towers = {name: value for name, value in state.items() if name.startswith('backbone.')}
    if not towers:
        raise ValueError('no names of CRIS: there is no backbone. in it')
    ours = {f'encoder.{name}': value for name, value in from_clip_resnet(towers).items()}
    ours |= {f'text_encoder.{name}': value for name, value in from_clip_text(towers).items()}
    for name, value in state.items():
        part = name.split('.')[0]
        if part in _PARTS:
            ours[_PARTS[part] + name.removeprefix(part).replace('.coordconv.0.conv1.', '.coordconv.0.')] = value
        elif part != 'backbone':
            raise ValueError(f'{name}: no name of CRIS')
    return ours


def to_cris(state: State) -> dict[str, State]:
    """Our CRIS's weights -> ``{'state_dict': ...}``, which the official code loads, with ``module.`` before each name.

    The official model has CLIP's ``logit_scale``, too, which nothing reads: it gets CLIP's own, ln 100.

    Raises:
        ValueError: names that no CRIS has.
    """
    theirs: State = {'backbone.logit_scale': torch.tensor(math.log(100))}
    text = {name.removeprefix('text_encoder.'): v for name, v in state.items() if name.startswith('text_encoder.')}
    theirs |= {f'backbone.{name}': value for name, value in to_clip_text(text).items()}
    names = {'encoder': 'backbone.visual', **{ours: name for name, ours in _PARTS.items()}}
    for name, value in state.items():
        part = name.split('.')[0]
        if part in names and not name.startswith('encoder.out_norms.'):
            name = name.replace('.coordconv.0.', '.coordconv.0.conv1.')
            theirs[names[part] + name.removeprefix(part)] = value
        elif part not in ('text_encoder', 'data_preprocessor'):
            raise ValueError(f'{name}: the official CRIS has nothing like it')
    return dict(state_dict={f'module.{name}': value for name, value in theirs.items()})


_PARTS = {'neck': 'neck', 'decoder': 'decoder', 'proj': 'projector'}
