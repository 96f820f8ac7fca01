"""LTS's weights as LAVT's authors save them, under our names and back."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mgfe_ris.models.checkpoints import from_lavt_heir, to_lavt_heir
from mgfe_ris.models.renaming import Rule, State, state_dict_of

HEAD = [
    *(Rule(f'lang_gen.project.{j}.{{p}}', f'sentence.{j}.{{p}}') for j in (0, 2)),
    Rule('lang_proj.0.{p}', 'sentence.3.{p}'),
    Rule('vis_proj.0.{p}', 'see4.0.{p}'),
    *(Rule(f'conv{i}_v.0.{{p}}', f'see{i}.0.{{p}}') for i in (3, 2)),
    *(Rule(f'conv{i}.0.{{p}}', f'join{i}.0.{{p}}') for i in (4, 3)),
    Rule('lang_filter.{p}', 'locate.{p}'),
    Rule('aspp.convs.{i}.{j}.{n}', 'aspp.convs.{i}.{j}.{n}'),
    Rule('aspp.project.{j}.{n}', 'aspp.project.{j}.{n}'),
    Rule('conv1_1.{p}', 'classify.{p}'),
]
RULES = [
    Rule('backbone.{rest}', 'backbone.{rest}'),
    Rule('text_encoder.{rest}', 'text_encoder.{rest}'),
    *(rule.prefixed('classifier.', 'head.') for rule in HEAD),
]


def from_lts(checkpoint: Mapping[str, Any]) -> State:
    """The weights of the LTS of LAVT's authors -> ours; every name is accounted for.

    Args:
        checkpoint: ``{'model': ...}``, or a state dict; names with or without ``module.``.

    Raises:
        ValueError: names that no LTS has.
    """
    state = state_dict_of(checkpoint)
    if not any(name.startswith('classifier.lang_filter.') for name in state):
        raise ValueError('no names of LTS: it has those that begin with classifier.lang_filter')
    return from_lavt_heir(state, RULES)


def to_lts(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of an LTS, as the code of LAVT's authors loads them: ``{'model': ...}``.

    Raises:
        ValueError: names that no LTS has.
    """
    return {'model': to_lavt_heir(state, RULES)}
