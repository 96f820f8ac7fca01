"""ReLA's official weights, under our names and back."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mgfe_ris.models.checkpoints import State, from_lavt, state_dict_of, to_lavt

_LANG_WEIGHT = 'sem_seg_head.predictor.lang_weight'


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
    ours = from_lavt({name: value for name, value in state.items() if not name.startswith('sem_seg_head.')})
    for name, value in state.items():
        if name.startswith('sem_seg_head.'):
            ours[_renamed(name, _FROM_THEIRS)] = (
                value if lang_weight or name != _LANG_WEIGHT else torch.zeros_like(value)
            )
    return ours


def to_rela(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a ReLA, as the official code loads them: ``{'model': ...}``.

    With the numbers of its modules' versions, without which it would change names that are right.
    """
    inside = {name: value for name, value in state.items() if name.startswith(('pixel_decoder.', 'head.'))}
    encoders = to_lavt({name: v for name, v in state.items() if name not in inside}, single_model=True)['model']
    encoders.pop('text_encoder.embeddings.position_ids', None)
    official = OrderedDict(encoders)
    official.update((_renamed(name, _TO_THEIRS), value) for name, value in inside.items())
    parts = ('', 'sem_seg_head', 'sem_seg_head.predictor')
    official._metadata = OrderedDict((part, {'version': 2 if part else 1}) for part in parts)  # type: ignore[attr-defined]
    return {'model': official}


def _todays_name(name: str) -> str:
    name = name.replace('.static_query.', '.query_feat.')
    name = re.sub(r'^sem_seg_head\.(pixel_decoder\.)+', 'sem_seg_head.pixel_decoder.', name)
    return re.sub(r'^sem_seg_head\.(?!pixel_decoder\.|predictor\.)', 'sem_seg_head.pixel_decoder.', name)


def _renamed(name: str, rules: list[tuple[str, str]]) -> str:
    """By the one rule of the tables below that fits."""
    for theirs, ours in rules:
        pattern = re.escape(theirs).replace(r'\{i\}', r'(?P<i>\d+)').replace(r'\{p\}', r'(?P<p>\w+)')
        if match := re.fullmatch(pattern, name):
            return ours.format(**match.groupdict())
    raise ValueError(f'{name}: no name of ReLA')


_PIXEL_DECODER = [
    *((f'input_proj.{{i}}.{j}.{{p}}', f'encoder.input_proj.{{i}}.{j}.{{p}}') for j in (0, 1)),
    ('transformer.level_embed', 'encoder.level_embed'),
    *(
        (f'transformer.encoder.layers.{{i}}.{part}.{{p}}', f'encoder.layers.{{i}}.{part}.{{p}}')
        for part in (
            *(f'self_attn.{linear}' for linear in ('sampling_offsets', 'attention_weights')),
            *(f'self_attn.{linear}' for linear in ('value_proj', 'output_proj')),
            *('norm1', 'linear1', 'linear2', 'norm2'),
        )
    ),
    ('mask_features.{p}', 'mask_features.{p}'),
    ('adapter_1.{p}', 'lateral.0.{p}'),
    ('adapter_1.norm.{p}', 'lateral.1.{p}'),
    ('layer_1.{p}', 'output.0.{p}'),
    ('layer_1.norm.{p}', 'output.1.{p}'),
]

_HEAD = [
    ('query_feat.{p}', 'regions.{p}'),
    ('query_embed.{p}', 'places.{p}'),
    ('level_embed.{p}', 'levels.{p}'),
    ('input_proj.{i}.{p}', 'input_proj.{i}.{p}'),
    ('lang_weight', 'read_words.weight'),
    ('lang_proj.{p}', 'read_words.project.{p}'),
    ('RLA_lang_att.norm.{p}', 'read_words.read.norm.{p}'),
    *(
        (f'{theirs}.{part}{{p}}', f'{ours}.attn.{part}{{p}}')
        for theirs, ours in (
            ('RLA_lang_att.multihead_attn', 'read_words.read'),
            ('RIA_layers.{i}.multihead_attn', 'layers.{i}.image'),
            ('RLA_vision.{i}.self_attn', 'layers.{i}.region'),
        )
        for part in ('in_proj_', 'out_proj.')
    ),
    ('RIA_layers.{i}.norm.{p}', 'layers.{i}.image.norm.{p}'),
    ('RLA_vision.{i}.norm.{p}', 'layers.{i}.region.norm.{p}'),
    *(
        (f'transformer_ffn_layers.{{i}}.{part}.{{p}}', f'layers.{{i}}.ffn.{part}.{{p}}')
        for part in ('linear1', 'linear2', 'norm')
    ),
    ('decoder_norm.{p}', 'norm.{p}'),
    ('minimap_embed.{p}', 'minimap.{p}'),
    *((f'mask_embed.layers.{j}.{{p}}', f'mask_filter.{2 * j}.{{p}}') for j in range(3)),
    *((f'nt_embed.layers.{j}.{{p}}', f'no_target.{2 * j}.{{p}}') for j in range(2)),
]

_FROM_THEIRS = [
    *((f'sem_seg_head.pixel_decoder.{theirs}', f'pixel_decoder.{ours}') for theirs, ours in _PIXEL_DECODER),
    *((f'sem_seg_head.predictor.{theirs}', f'head.{ours}') for theirs, ours in _HEAD),
]
"""Theirs and ours; ``{i}`` is a number, ``{p}`` a last part, such as ``weight``."""
_TO_THEIRS = [(ours, theirs) for theirs, ours in _FROM_THEIRS]
