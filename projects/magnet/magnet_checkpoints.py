"""MagNet's official weights, under our names and back."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from mgfe_ris.models.checkpoints import State, from_lavt, state_dict_of, to_lavt


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
    towers = {_lavt_name(name): value for name, value in state.items() if _lavt_name(name)}
    ours = from_lavt(towers)
    for name, value in state.items():
        if not _lavt_name(name):
            renamed, changed = _translate(name, value, [rule.backwards() for rule in _RULES])
            ours[renamed] = changed
    return ours


def to_magnet(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a MagNet, as the official code loads them: ``{'model': ...}``.

    What only training has, the part of mask grounding, is left out: the official model has no such.
    """
    ours = {name: value for name, value in state.items() if not name.startswith(('data_preprocessor.', 'grounding.'))}
    towers = {name: value for name, value in ours.items() if name.startswith(('encoder.', 'text_encoder.'))}
    official: State = {}
    for name, value in to_lavt(towers, single_model=True)['model'].items():
        if not name.endswith('position_ids'):  # BERT's, which the official model does not keep
            official[re.sub('^backbone', 'image_model', re.sub('^text_encoder', 'language_model', name))] = value
    for name, value in ours.items():
        if name not in towers:
            renamed, changed = _translate(name, value, _RULES)
            official[renamed] = changed
    return {'model': official}


def _lavt_name(name: str) -> str | None:
    """LAVT's name of what is Swin or BERT; None: it is MagNet's own."""
    if re.match(r'image_model\.(patch_embed|norm\d|layers\.\d+\.(blocks|downsample))\.', name):
        return name.replace('image_model', 'backbone', 1)
    if re.match(r'language_model\.(embeddings|encoder)\.', name):
        return name.replace('language_model', 'text_encoder', 1)
    return None


class _Rule(NamedTuple):
    """Ours and theirs, ``{i}`` and ``{k}`` being numbers; and how many dimensions a weight has here and there, where
    the two differ by some that are 1 wide."""

    ours: str
    theirs: str
    dims: tuple[int, int] | None = None

    def backwards(self) -> '_Rule':
        return _Rule(self.theirs, self.ours, self.dims and self.dims[::-1])


def _translate(name: str, value: Tensor, rules: list[_Rule]) -> tuple[str, Tensor]:
    """By the first rule that the name begins with."""
    for rule in rules:
        pattern = re.escape(rule.ours).replace(r'\{i\}', r'(?P<i>\d+)').replace(r'\{k\}', r'(?P<k>\d+)')
        if match := re.fullmatch(rf'{pattern}(?P<rest>(\.\w+)*)', name):
            numbers = {key: number for key, number in match.groupdict().items() if key != 'rest'}
            if rule.dims and value.dim() == rule.dims[0]:
                value = value.reshape(*value.shape[:2], *[1] * (rule.dims[1] - 2))
            return rule.theirs.format(**numbers) + match['rest'], value
    raise ValueError(f'{name}: no name of MagNet')


def _fusion(ours: str, theirs: str) -> list[_Rule]:
    inside = f'{theirs}.image_lang_att'
    return [
        _Rule(f'{ours}.visual', f'{theirs}.vis_project.0', (4, 3)),
        _Rule(f'{ours}.query', f'{inside}.f_query.0', (4, 2)),
        _Rule(f'{ours}.query_norm', f'{inside}.f_query.1'),
        _Rule(f'{ours}.key', f'{inside}.f_key.0', (2, 3)),
        _Rule(f'{ours}.value', f'{inside}.f_value.0', (2, 3)),
        _Rule(f'{ours}.output', f'{inside}.W.0', (4, 2)),
        _Rule(f'{ours}.output_norm', f'{inside}.W.1'),
        _Rule(f'{ours}.project', f'{theirs}.project_mm.0', (4, 3)),
    ]


_IMAGE, _TEXT, _WORDS = 'image_model.layers.{i}', 'text_fusion.{i}', 'language_model.pwams.{i}'
_PIXELS, _QUERY = 'classifier.pixel_decoder', 'classifier.predictor'

_RULES = [
    *_fusion('image_fusion.{i}.attention', f'{_IMAGE}.fusion'),
    *_fusion('image_fusion.{i}.pyramid_attention.{k}', f'{_IMAGE}.fusions.{{k}}'),
    _Rule('image_fusion.{i}.pyramid', f'{_IMAGE}.pyramids'),
    _Rule('image_fusion.{i}.mixer', f'{_IMAGE}.mixer'),
    _Rule('image_fusion.{i}.gate', f'{_IMAGE}.res_gate'),
    _Rule(f'{_TEXT}.word', f'{_WORDS}.vis_project.0'),
    _Rule(f'{_TEXT}.query', f'{_WORDS}.image_lang_att.f_query.0', (2, 3)),
    _Rule(f'{_TEXT}.key', f'{_WORDS}.image_lang_att.f_key.0', (2, 3)),
    _Rule(f'{_TEXT}.value', f'{_WORDS}.image_lang_att.f_value.0', (2, 3)),
    _Rule(f'{_TEXT}.output', f'{_WORDS}.image_lang_att.W.0', (2, 3)),
    _Rule(f'{_TEXT}.project', f'{_WORDS}.project_mm.0', (2, 3)),
    _Rule(f'{_TEXT}.gate', 'language_model.res_gates.{i}'),
    _Rule(f'{_TEXT}.norm', 'language_model.norms.{i}'),
    _Rule('pixel_decoder.input_proj', f'{_PIXELS}.input_proj'),
    _Rule('pixel_decoder.level_embed', f'{_PIXELS}.transformer.level_embed'),
    _Rule('pixel_decoder.layers', f'{_PIXELS}.transformer.encoder.layers'),
    _Rule('mask_features', f'{_PIXELS}.mask_features'),
    _Rule('mask_decoder.cross_attention.{i}.attn', f'{_QUERY}.transformer_cross_attention_layers.{{i}}.multihead_attn'),
    _Rule('mask_decoder.cross_attention.{i}.norm', f'{_QUERY}.transformer_cross_attention_layers.{{i}}.norm'),
    _Rule('mask_decoder.self_attention.{i}.attn', f'{_QUERY}.transformer_self_attention_layers.{{i}}.self_attn'),
    _Rule('mask_decoder.self_attention.{i}.norm', f'{_QUERY}.transformer_self_attention_layers.{{i}}.norm'),
    _Rule('mask_decoder.feed_forward', f'{_QUERY}.transformer_ffn_layers'),
    _Rule('mask_decoder.norm', f'{_QUERY}.decoder_norm'),
    *(_Rule(f'mask_decoder.{x}_embed', f'{_QUERY}.{x}_embed.weight') for x in ('query', 'level')),
    _Rule('mask_decoder.query_feat', f'{_QUERY}.query_feat.weight'),
    _Rule('mask_decoder.class_embed', f'{_QUERY}.class_embed'),
    *(_Rule(f'mask_decoder.mask_embed.{2 * k}', f'{_QUERY}.mask_embed.layers.{k}') for k in range(3)),
    _Rule('lang_proj', 'lang_proj'),
]
