"""ETRIS's official weights, under our names and back."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from mgfe_ris.models.checkpoints import State, from_clip_resnet, from_clip_text, from_clip_vit, state_dict_of


def from_etris(checkpoint: Mapping[str, Any]) -> State:
    """The official ETRIS's weights -> ours; every name is accounted for. CLIP's ``logit_scale``, which nothing reads,
    is left out.

    Args:
        checkpoint: what its training saves, ``{'state_dict': ...}`` with ``module.`` before each name, or a state dict.

    Raises:
        ValueError: names that no ETRIS has.
    """
    state = state_dict_of(checkpoint)
    towers = {name: value for name, value in state.items() if name.startswith('backbone.')}
    if not towers or not any(name.startswith('bridger.') for name in state):
        raise ValueError('no names of ETRIS: it has those that begin with backbone. and with bridger.')
    from_tower = from_clip_vit if 'backbone.visual.class_embedding' in towers else from_clip_resnet
    ours = {f'encoder.{name}': value for name, value in from_tower(towers).items()}
    ours |= {f'text_encoder.{name}': value for name, value in from_clip_text(towers).items()}
    for name, value in state.items():
        if not name.startswith('backbone.'):
            ours[_renamed(name, _OF_THE_REST)] = value
    return ours


def to_etris(state: Mapping[str, torch.Tensor]) -> dict[str, State]:
    """Our weights of an ETRIS, as the official code loads them: ``{'state_dict': ...}``, names with ``module.``.

    ``logit_scale``, which the official model holds and never uses, is not among ours: it is CLIP's value at the end of
    its training, ln 100.
    """
    official = {
        f'module.{_renamed(name, [*_OF_THE_TOWERS, *_TO_THE_REST])}': value
        for name, value in state.items()
        if not name.startswith('data_preprocessor.')
    }
    official['module.backbone.logit_scale'] = torch.tensor(100.0).log()
    return {'state_dict': official}


def _renamed(name: str, rules: list[tuple[str, Any]]) -> str:
    """By the first pattern that the name begins with."""
    for pattern, ours in rules:
        if re.match(pattern, name):
            return re.sub(pattern, ours, name, count=1)
    raise ValueError(f'{name}: no name of ETRIS')


_OF_THE_REST = [
    # the norms of a bridge are counted from the second bridge on
    (r'bridger\.(ln_[vt])\.(\d)', lambda match: f'bridges.{int(match[2]) + 1}.{match[1]}'),
    (r'bridger\.(fusion_[vt]|zoom_in|zoom_out|linear[12])\.(\d)', r'bridges.\2.\1'),
    (r'neck\.coordconv\.0\.conv1\.', 'neck.coordconv.0.'),
    (r'(neck|decoder)\.', r'\1.'),
    (r'proj\.', 'projector.'),
]

_TO_THE_REST = [
    (r'bridges\.(\d)\.(ln_[vt])', lambda match: f'bridger.{match[2]}.{int(match[1]) - 1}'),
    (r'bridges\.(\d)\.(fusion_[vt]|zoom_in|zoom_out|linear[12])', r'bridger.\2.\1'),
    (r'neck\.coordconv\.0\.', 'neck.coordconv.0.conv1.'),
    (r'(neck|decoder)\.', r'\1.'),
    (r'projector\.', 'proj.'),
]

_OF_THE_TOWERS = [
    (r'encoder\.blocks\.(\d+)\.mlp\.0\.', r'backbone.visual.transformer.resblocks.\1.mlp.c_fc.'),
    (r'encoder\.blocks\.(\d+)\.mlp\.2\.', r'backbone.visual.transformer.resblocks.\1.mlp.c_proj.'),
    (r'encoder\.blocks\.', 'backbone.visual.transformer.resblocks.'),
    (r'encoder\.', 'backbone.visual.'),
    (r'text_encoder\.blocks\.(\d+)\.mlp\.0\.', r'backbone.transformer.resblocks.\1.mlp.c_fc.'),
    (r'text_encoder\.blocks\.(\d+)\.mlp\.2\.', r'backbone.transformer.resblocks.\1.mlp.c_proj.'),
    (r'text_encoder\.blocks\.', 'backbone.transformer.resblocks.'),
    (r'text_encoder\.', 'backbone.'),
]
