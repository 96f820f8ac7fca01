"""CRIS's official weights, under our names and back."""

from collections.abc import Mapping
from typing import Any

from mgfe_ris.models.clip_checkpoints import from_clip_backbone, to_clip_backbone
from mgfe_ris.models.renaming import Rule, State, rename, state_dict_of

RULES = [
    Rule('neck.coordconv.0.conv1.{rest}', 'neck.coordconv.0.{rest}'),
    Rule('neck.{rest}', 'neck.{rest}'),
    Rule('decoder.{rest}', 'decoder.{rest}'),
    Rule('proj.{rest}', 'projector.{rest}'),
]


def from_cris(checkpoint: Mapping[str, Any]) -> State:
    """The official CRIS's weights -> ours; every name is accounted for. ``logit_scale``, which nothing reads, is left
    out.

    Args:
        checkpoint: what its training saves, ``{'state_dict': ...}`` with ``module.`` before each name, or a state dict.

    Raises:
        ValueError: names that no CRIS has.
    """
    state = state_dict_of(checkpoint)
    return from_clip_backbone(state) | rename(state, RULES, left_out=[r'backbone\.'])


def to_cris(state: Mapping[str, Any]) -> dict[str, State]:
    """Our CRIS's weights -> ``{'state_dict': ...}``, which the official code loads, with ``module.`` before each name.

    Raises:
        ValueError: names that no CRIS has.
    """
    left_out = [r'(encoder|text_encoder|data_preprocessor)\.']
    theirs = rename(state, [rule.reversed() for rule in RULES], left_out) | to_clip_backbone(state)
    return dict(state_dict={f'module.{name}': value for name, value in theirs.items()})
