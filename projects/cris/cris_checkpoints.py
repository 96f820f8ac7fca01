"""CRIS's official weights, under our names and back."""

from collections.abc import Mapping
from typing import Any

from mgfe_ris.models.checkpoints import State, from_clip_resnet, from_clip_text, state_dict_of


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


_PARTS = {'neck': 'neck', 'decoder': 'decoder', 'proj': 'projector'}
