"""CRIS's official weights, under our names and back."""

from collections.abc import Mapping
from typing import Any

from mgfe_ris.models.clip_checkpoints import from_clip_heir, to_clip_heir
from mgfe_ris.models.renaming import Rule, State, state_dict_of

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
    return from_clip_heir(state_dict_of(checkpoint), RULES)


def to_cris(state: Mapping[str, Any]) -> dict[str, State]:
    """Our CRIS's weights -> ``{'state_dict': ...}``, which the official code loads, with ``module.`` before each name.

    Raises:
        ValueError: names that no CRIS has.
    """
    return to_clip_heir(state, RULES)
