"""ReLA's official weights, under our names and back."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mgfe_ris.models.checkpoints import from_lavt_heir, to_lavt_heir
from mgfe_ris.models.mask2former_checkpoints import (
    CROSS_ATTENTION,
    DEFORMABLE_ENCODER,
    FEED_FORWARD,
    SELF_ATTENTION,
    perceptron,
)
from mgfe_ris.models.renaming import Rule, State, state_dict_of

PIXEL_DECODER = [
    *(rule.prefixed('', 'encoder.') for rule in DEFORMABLE_ENCODER),
    Rule('mask_features.{p}', 'mask_features.{p}'),
    Rule('adapter_1.{p}', 'lateral.0.{p}'),
    Rule('adapter_1.norm.{p}', 'lateral.1.{p}'),
    Rule('layer_1.{p}', 'output.0.{p}'),
    Rule('layer_1.norm.{p}', 'output.1.{p}'),
]
HEAD = [
    Rule('query_feat.{p}', 'regions.{p}'),
    Rule('query_embed.{p}', 'places.{p}'),
    Rule('level_embed.{p}', 'levels.{p}'),
    Rule('input_proj.{i}.{p}', 'input_proj.{i}.{p}'),
    Rule('lang_weight', 'read_words.weight'),
    Rule('lang_proj.{p}', 'read_words.project.{p}'),
    *(rule.prefixed('RLA_lang_att.', 'read_words.read.') for rule in CROSS_ATTENTION),
    *(rule.prefixed('RIA_layers.{i}.', 'layers.{i}.image.') for rule in CROSS_ATTENTION),
    *(rule.prefixed('RLA_vision.{i}.', 'layers.{i}.region.') for rule in SELF_ATTENTION),
    *(rule.prefixed('transformer_ffn_layers.{i}.', 'layers.{i}.ffn.') for rule in FEED_FORWARD),
    Rule('decoder_norm.{p}', 'norm.{p}'),
    Rule('minimap_embed.{p}', 'minimap.{p}'),
    *(rule.prefixed('mask_embed.', 'mask_filter.') for rule in perceptron(3)),
    *(rule.prefixed('nt_embed.', 'no_target.') for rule in perceptron(2)),
]
RULES = [
    *(Rule(name, name) for name in ('backbone.{rest}', 'text_encoder.{rest}')),
    *(rule.prefixed('sem_seg_head.pixel_decoder.', 'pixel_decoder.') for rule in PIXEL_DECODER),
    *(rule.prefixed('sem_seg_head.predictor.', 'head.') for rule in HEAD),
]


def from_rela(checkpoint: Mapping[str, Any], lang_weight: bool = False) -> State:
    """The official ReLA's weights, with Swin, -> ours; every name is accounted for.

    Args:
        checkpoint: what its training saves, ``{'model': ...}``, or a state dict; also one of before the official code
            had its version 2, or one whose names that code would change once too often.
        lang_weight: take over the scalar that weighs what regions read of the words. The official code never loads it,
            so that all its evaluations are with 0; so is ours, by default.

    Raises:
        ValueError: names that no ReLA has.
    """
    state = {_todays_name(name): value for name, value in state_dict_of(checkpoint).items()}
    if not any(name.startswith('sem_seg_head.predictor.RIA_layers.') for name in state):
        raise ValueError('no names of ReLA: it has those that begin with sem_seg_head.predictor.RIA_layers')
    ours = from_lavt_heir(state, RULES)
    if not lang_weight and 'head.read_words.weight' in ours:
        ours['head.read_words.weight'] = torch.zeros_like(ours['head.read_words.weight'])
    return ours


def to_rela(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a ReLA, as the official code loads them: ``{'model': ...}``.

    With the numbers of its modules' versions, without which it would change names that are right.

    Raises:
        ValueError: names that no ReLA has.
    """
    official = OrderedDict(to_lavt_heir(state, RULES))
    parts = ('', 'sem_seg_head', 'sem_seg_head.predictor')
    official._metadata = OrderedDict((part, {'version': 2 if part else 1}) for part in parts)  # type: ignore[attr-defined]
    return {'model': official}


def _todays_name(name: str) -> str:
    name = name.replace('.static_query.', '.query_feat.')
    name = re.sub(r'^sem_seg_head\.(pixel_decoder\.)+', 'sem_seg_head.pixel_decoder.', name)
    return re.sub(r'^sem_seg_head\.(?!pixel_decoder\.|predictor\.)', 'sem_seg_head.pixel_decoder.', name)
