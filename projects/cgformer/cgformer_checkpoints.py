"""CGFormer's official weights, under our names and back."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mgfe_ris.models.checkpoints import from_lavt_heir, to_lavt_heir
from mgfe_ris.models.renaming import Rule, State, state_dict_of

ENCODERS = [
    Rule('backbone.layers.{i}.pwam_fusion.{rest}', 'backbone.layers.{i}.fusion.{rest}'),
    Rule('backbone.layers.{i}.pwam_gate.{rest}', 'backbone.layers.{i}.res_gate.{rest}'),
    Rule('backbone.{rest}', 'backbone.{rest}'),
    Rule('text_encoder.{rest}', 'text_encoder.{rest}'),
]
UPDATE = [
    Rule('norm.{p}', 'norm.{p}'),
    Rule('mlp.fc1.{p}', 'mlp.0.{p}'),
    Rule('mlp.fc2.{p}', 'mlp.3.{p}'),
]
READ = [
    Rule('loadtoken.normq.{p}', 'norm_token.{p}'),
    Rule('loadtoken.normk.{p}', 'norm_word.{p}'),
    Rule('loadtoken.cross_attn.q_proj.{p}', 'query.{p}'),
    Rule('loadtoken.cross_attn.k_proj.{p}', 'key.{p}'),
    Rule('loadtoken.cross_attn.v_proj.{p}', 'value.{p}'),
    Rule('loadtoken.cross_attn.proj.{p}', 'output.{p}'),
    *UPDATE,
]
GROUP = [
    Rule('tau', 'tau'),
    Rule('norm_t.{p}', 'norm_token.{p}'),
    Rule('norm_v.{p}', 'norm_pixel.{p}'),
    Rule('q_proj.{p}', 'query.{p}'),
    Rule('k_proj.{p}', 'key.{p}'),
    Rule('v_proj.{p}', 'value.{p}'),
    Rule('proj.{p}', 'output.{p}'),
    *UPDATE,
]
DECODER = [
    Rule('tokens.weight', 'tokens'),
    Rule('layers.{i}.positional_embedding', 'places.{i}'),
    Rule('fuses.{i}.fusion.0.{p}', 'fuse.{i}.conv1.{p}'),
    Rule('fuses.{i}.fusion.1.{n}', 'fuse.{i}.norm1.{n}'),
    Rule('fuses.{i}.fusion.3.{p}', 'fuse.{i}.conv2.{p}'),
    Rule('fuses.{i}.fusion.4.{n}', 'fuse.{i}.norm2.{n}'),
    *(rule.prefixed(f'layers.{i + 1}.', f'read.{i}.') for i in range(2) for rule in READ),
    *(rule.prefixed(f'cgattention{i + 1}.', f'group.{i}.') for i in range(2) for rule in GROUP),
]
PROJECTOR = [
    Rule('vis.4.{p}', 'out.{p}'),
    Rule('vis.{i}.{j}.{n}', 'vis.{i}.{j}.{n}'),
    Rule('txt.{p}', 'txt.{p}'),
]
RULES = [
    *ENCODERS,
    *(rule.prefixed('decoder.', 'decoder.') for rule in DECODER),
    *(rule.prefixed('decoder.proj.', 'projector.') for rule in PROJECTOR),
]


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
    return from_lavt_heir(state, RULES, left_out=[r'decoder\.layers\.[12]\.loadtoken\.(norm|mlp)\.'])


def to_cgformer(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a CGFormer, as the official code loads them: ``{'model_state_dict': ...}``.

    The layers that nothing reads are not among ours: norms are as they begin, the others are zeros.

    Raises:
        ValueError: names that no CGFormer has.
    """
    official = to_lavt_heir(state, RULES)
    for name, value in list(official.items()):
        unread = re.sub(r'^(decoder\.layers\.\d)\.(norm|mlp)\.', r'\1.loadtoken.\2.', name)
        if unread != name:
            official[unread] = torch.ones_like(value) if unread.endswith('norm.weight') else torch.zeros_like(value)
    return {'model_state_dict': official}
