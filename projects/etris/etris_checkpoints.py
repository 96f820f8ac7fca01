"""ETRIS's official weights, under our names and back."""

from collections.abc import Mapping
from typing import Any

from mgfe_ris.models.clip_checkpoints import from_clip_heir, to_clip_heir
from mgfe_ris.models.renaming import Rule, State, state_dict_of

PARTS = ('fusion_v', 'fusion_t', 'zoom_in', 'zoom_out', 'linear1', 'linear2')
RULES = [
    *(Rule(f'bridger.{part}.{{i}}.{{rest}}', f'bridges.{{i}}.{part}.{{rest}}') for part in PARTS),
    # the norms of a bridge are counted from the second bridge on
    *(
        Rule(f'bridger.ln_{side}.{i}.{{rest}}', f'bridges.{i + 1}.ln_{side}.{{rest}}')
        for side in ('v', 't')
        for i in range(2)
    ),
    Rule('neck.coordconv.0.conv1.{rest}', 'neck.coordconv.0.{rest}'),
    Rule('neck.{rest}', 'neck.{rest}'),
    Rule('decoder.{rest}', 'decoder.{rest}'),
    Rule('proj.{rest}', 'projector.{rest}'),
]


def from_etris(checkpoint: Mapping[str, Any]) -> State:
    """The official ETRIS's weights -> ours; every name is accounted for. ``logit_scale``, which nothing reads, is left
    out.

    Args:
        checkpoint: what its training saves, ``{'state_dict': ...}`` with ``module.`` before each name, or a state dict.

    Raises:
        ValueError: names that no ETRIS has.
    """
    return from_clip_heir(state_dict_of(checkpoint), RULES)


def to_etris(state: Mapping[str, Any]) -> dict[str, State]:
    """Our ETRIS's weights -> ``{'state_dict': ...}``, which the official code loads, with ``module.`` before each name.

    Raises:
        ValueError: names that no ETRIS has.
    """
    return to_clip_heir(state, RULES)
