"""CGFormer's official weights, under our names and back."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mgfe_ris.models.checkpoints import State, from_lavt, state_dict_of, to_lavt


def from_cgformer(checkpoint: Mapping[str, Any]) -> State:
    """The official CGFormer's weights -> ours; every name is accounted for. A norm and two layers in each reader of
    words, which nothing reads, are left out.

    Args:
        checkpoint: what its training saves, ``{'model_state_dict': ...}``, or a state dict; names with or without
            ``module.``.

    Raises:
        ValueError: names that no CGFormer has.
    """
    state = state_dict_of(checkpoint.get('model_state_dict', checkpoint))
    if not any(name.startswith('decoder.cgattention') for name in state):
        raise ValueError('no names of CGFormer: it has those that begin with decoder.cgattention')
    encoders = {name: value for name, value in state.items() if not name.startswith('decoder.')}
    ours = from_lavt({re.sub(r'\.pwam_(fusion|gate)\.', _to_lavt_name, name): v for name, v in encoders.items()})
    for name, value in state.items():
        if name not in encoders and not re.match(_UNREAD, name):
            ours[_renamed(name, _FROM_THEIRS)] = value
    return ours


def to_cgformer(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a CGFormer, as the official code loads them: ``{'model_state_dict': ...}``.

    The layers that nothing reads are not among ours: norms are as they begin, the others are zeros.
    """
    decoder = {name: value for name, value in state.items() if name.startswith(('decoder.', 'projector.'))}
    encoders = to_lavt({name: v for name, v in state.items() if name not in decoder}, single_model=True)['model']
    encoders.pop('text_encoder.embeddings.position_ids', None)
    official = {re.sub(r'\.(fusion|res_gate)\.', _from_lavt_name, name): value for name, value in encoders.items()}
    for name, value in decoder.items():
        theirs = _renamed(name, _TO_THEIRS)
        official[theirs] = value
        if match := re.match(r'(decoder\.layers\.\d)\.(norm|mlp)\.', theirs):
            unread = theirs.replace(match[1], f'{match[1]}.loadtoken')
            official[unread] = torch.ones_like(value) if unread.endswith('norm.weight') else torch.zeros_like(value)
    return {'model_state_dict': official}


def _to_lavt_name(match: re.Match) -> str:
    return {'fusion': '.fusion.', 'gate': '.res_gate.'}[match[1]]


def _from_lavt_name(match: re.Match) -> str:
    return {'fusion': '.pwam_fusion.', 'res_gate': '.pwam_gate.'}[match[1]]


def _renamed(name: str, rules: list[tuple[str, str]]) -> str:
    """By the one rule of the tables below that fits."""
    for theirs, ours in rules:
        pattern = re.escape(theirs).replace(r'\{p\}', r'(?P<p>\w+)')
        if match := re.fullmatch(pattern, name):
            return ours.format(**match.groupdict())
    raise ValueError(f'{name}: no name of CGFormer')


_UNREAD = r'decoder\.layers\.[12]\.loadtoken\.(norm|mlp)\.'

_FROM_THEIRS = [
    ('decoder.tokens.weight', 'decoder.tokens'),
    *((f'decoder.layers.{i}.positional_embedding', f'decoder.places.{i}') for i in range(3)),
    *(
        (f'decoder.fuses.{i}.fusion.{j}.{{p}}', f'decoder.fuse.{i}.{ours}.{{p}}')
        for i in range(3)
        for j, ours in ((0, 'conv1'), (1, 'norm1'), (3, 'conv2'), (4, 'norm2'))
    ),
    *(
        (f'decoder.layers.{i + 1}.{theirs}.{{p}}', f'decoder.read.{i}.{ours}.{{p}}')
        for i in range(2)
        for theirs, ours in (
            ('loadtoken.normq', 'norm_token'),
            ('loadtoken.normk', 'norm_word'),
            ('loadtoken.cross_attn.q_proj', 'query'),
            ('loadtoken.cross_attn.k_proj', 'key'),
            ('loadtoken.cross_attn.v_proj', 'value'),
            ('loadtoken.cross_attn.proj', 'output'),
            ('norm', 'norm'),
            ('mlp.fc1', 'mlp.0'),
            ('mlp.fc2', 'mlp.3'),
        )
    ),
    *((f'decoder.cgattention{i + 1}.tau', f'decoder.group.{i}.tau') for i in range(2)),
    *(
        (f'decoder.cgattention{i + 1}.{theirs}.{{p}}', f'decoder.group.{i}.{ours}.{{p}}')
        for i in range(2)
        for theirs, ours in (
            ('norm_t', 'norm_token'),
            ('norm_v', 'norm_pixel'),
            ('q_proj', 'query'),
            ('k_proj', 'key'),
            ('v_proj', 'value'),
            ('proj', 'output'),
            ('norm', 'norm'),
            ('mlp.fc1', 'mlp.0'),
            ('mlp.fc2', 'mlp.3'),
        )
    ),
    *((f'decoder.proj.vis.{i}.{j}.{{p}}', f'projector.vis.{i}.{j}.{{p}}') for i in (1, 3) for j in (0, 1)),
    ('decoder.proj.vis.4.{p}', 'projector.out.{p}'),
    ('decoder.proj.txt.{p}', 'projector.txt.{p}'),
]
"""Theirs and ours; ``{p}`` is a last part, such as ``weight``."""
_TO_THEIRS = [(ours, theirs) for theirs, ours in _FROM_THEIRS]
