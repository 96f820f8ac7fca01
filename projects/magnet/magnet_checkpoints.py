"""MagNet's official weights, under our names and back."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mgfe_ris.models.checkpoints import from_lavt_heir, to_lavt_heir
from mgfe_ris.models.mask2former_checkpoints import (
    CROSS_ATTENTION,
    DEFORMABLE_ENCODER,
    FEED_FORWARD,
    SELF_ATTENTION,
    perceptron,
)
from mgfe_ris.models.renaming import (
    CONV1D_AS_CONV2D,
    CONV1D_AS_LINEAR,
    LINEAR_AS_CONV2D,
    Rule,
    State,
    state_dict_of,
)

SWIN = [
    Rule('patch_embed.{rest}', 'patch_embed.{rest}'),
    Rule('layers.{i}.blocks.{rest}', 'layers.{i}.blocks.{rest}'),
    Rule('layers.{i}.downsample.{rest}', 'layers.{i}.downsample.{rest}'),
    Rule('norm{i}.{p}', 'norm{i}.{p}'),
]
BERT = [Rule(name, name) for name in ('embeddings.{rest}', 'encoder.{rest}')]
ATTENTION = [
    Rule('vis_project.0.{p}', 'visual.{p}', CONV1D_AS_CONV2D),
    Rule('image_lang_att.f_query.0.{p}', 'query.{p}', LINEAR_AS_CONV2D),
    Rule('image_lang_att.f_query.1.{p}', 'query_norm.{p}'),
    Rule('image_lang_att.f_key.0.{p}', 'key.{p}', CONV1D_AS_LINEAR),
    Rule('image_lang_att.f_value.0.{p}', 'value.{p}', CONV1D_AS_LINEAR),
    Rule('image_lang_att.W.0.{p}', 'output.{p}', LINEAR_AS_CONV2D),
    Rule('image_lang_att.W.1.{p}', 'output_norm.{p}'),
    Rule('project_mm.0.{p}', 'project.{p}', CONV1D_AS_CONV2D),
]
IMAGE_FUSION = [
    *(rule.prefixed('fusion.', 'attention.') for rule in ATTENTION),
    *(rule.prefixed('fusions.{k}.', 'pyramid_attention.{k}.') for rule in ATTENTION),
    Rule('pyramids.{j}.{k}.{p}', 'pyramid.{j}.{k}.{p}'),
    Rule('mixer.{k}.{p}', 'mixer.{k}.{p}'),
    Rule('res_gate.{k}.{p}', 'gate.{k}.{p}'),
]
TEXT_FUSION = [
    Rule('pwams.{i}.vis_project.0.{p}', '{i}.word.{p}'),
    Rule('pwams.{i}.image_lang_att.f_query.0.{p}', '{i}.query.{p}', CONV1D_AS_LINEAR),
    Rule('pwams.{i}.image_lang_att.f_key.0.{p}', '{i}.key.{p}', CONV1D_AS_LINEAR),
    Rule('pwams.{i}.image_lang_att.f_value.0.{p}', '{i}.value.{p}', CONV1D_AS_LINEAR),
    Rule('pwams.{i}.image_lang_att.W.0.{p}', '{i}.output.{p}', CONV1D_AS_LINEAR),
    Rule('pwams.{i}.project_mm.0.{p}', '{i}.project.{p}', CONV1D_AS_LINEAR),
    Rule('res_gates.{i}.{k}.{p}', '{i}.gate.{k}.{p}'),
    Rule('norms.{i}.{p}', '{i}.norm.{p}'),
]
MASK_DECODER = [
    *(rule.prefixed('transformer_cross_attention_layers.{i}.', 'cross_attention.{i}.') for rule in CROSS_ATTENTION),
    *(rule.prefixed('transformer_self_attention_layers.{i}.', 'self_attention.{i}.') for rule in SELF_ATTENTION),
    *(rule.prefixed('transformer_ffn_layers.{i}.', 'feed_forward.{i}.') for rule in FEED_FORWARD),
    Rule('decoder_norm.{p}', 'norm.{p}'),
    *(Rule(f'{name}.weight', name) for name in ('query_feat', 'query_embed', 'level_embed')),
    Rule('class_embed.{p}', 'class_embed.{p}'),
    *(rule.prefixed('mask_embed.', 'mask_embed.') for rule in perceptron(3)),
]
RULES = [
    *(rule.prefixed('image_model.', 'backbone.') for rule in SWIN),
    *(rule.prefixed('language_model.', 'text_encoder.') for rule in BERT),
    *(rule.prefixed('image_model.layers.{i}.', 'image_fusion.{i}.') for rule in IMAGE_FUSION),
    *(rule.prefixed('language_model.', 'text_fusion.') for rule in TEXT_FUSION),
    *(rule.prefixed('classifier.pixel_decoder.', 'pixel_decoder.') for rule in DEFORMABLE_ENCODER),
    Rule('classifier.pixel_decoder.mask_features.{p}', 'mask_features.{p}'),
    *(rule.prefixed('classifier.predictor.', 'mask_decoder.') for rule in MASK_DECODER),
    Rule('lang_proj.{p}', 'lang_proj.{p}'),
]


def from_magnet(checkpoint: Mapping[str, Any]) -> State:
    """The official MagNet's weights -> ours; every name is accounted for.

    Args:
        checkpoint: ``{'model': ...}``, or a state dict.

    Raises:
        ValueError: names that no MagNet has.
    """
    state = state_dict_of(checkpoint)
    if not any(name.startswith('image_model.') for name in state) or not any('.mixer.' in name for name in state):
        raise ValueError('no names of MagNet: it has those that begin with image_model. and mixers in its layers')
    return from_lavt_heir(state, RULES)


def to_magnet(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a MagNet, as the official code loads them: ``{'model': ...}``.

    What only training has, the part of mask grounding, is left out: the official model has no such.

    Raises:
        ValueError: names that no MagNet has.
    """
    return {'model': to_lavt_heir(state, RULES, left_out=[r'grounding\.'])}
