"""BarLeRIa's official weights, under our names and back."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from mgfe_ris.models.checkpoints import State, state_dict_of


def from_barleria(checkpoint: Mapping[str, Any]) -> State:
    """The official BarLeRIa's weights -> ours; every name is accounted for.

    Left out: ``logit_scale``, which nothing reads, and what the flows hold twice.

    Args:
        checkpoint: what its training saves, ``{'state_dict': ...}`` with ``module.`` before each name, or a state dict.

    Raises:
        ValueError: names that no BarLeRIa has, or two values of one weight of a flow.
    """
    state = state_dict_of(checkpoint)
    if not any('.flow.' in name for name in state):
        raise ValueError('no names of BarLeRIa: there are no flows in it')
    for name, value in state.items():
        once = name.replace('.log_jacobians.', '.transforms.')
        if once not in state or not torch.equal(value, state[once]):
            raise ValueError(f'{name} differs from {once}: the official code has one weight under both names')
    once = {k: v for k, v in state.items() if '.log_jacobians.' not in k and k != 'backbone.logit_scale'}
    return {_renamed(k, _TO_OURS): v.flatten(1) if _FUSION.fullmatch(k) else v for k, v in once.items()}


def to_barleria(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a BarLeRIa -> what the official code loads: ``{'state_dict': ...}`` with ``module.`` before names.

    ``logit_scale``, which we do not keep, gets the value of CLIP's weights.
    """
    theirs = {_renamed(k, _TO_THEIRS): v for k, v in state.items() if not k.startswith('data_preprocessor.')}
    theirs = {k: v[..., None, None] if _FUSION.fullmatch(k) else v for k, v in theirs.items()}
    twice = {k.replace('.transforms.', '.log_jacobians.'): v for k, v in theirs.items() if '.transforms.' in k}
    theirs |= {**twice, 'backbone.logit_scale': torch.tensor(math.log(100))}
    return dict(state_dict={f'module.{k}': v for k, v in theirs.items()})


def _renamed(name: str, rules: Iterable[tuple[re.Pattern, str]]) -> str:
    for pattern, other in rules:
        if match := pattern.match(name):
            return other.format(**match.groupdict()) + name[match.end() :]
    raise ValueError(f'{name}: no name of BarLeRIa')


_BLOCK, _SIDE = 'transformer.resblocks.{i}.', 'side_adapter_network.'
_NAMES = [
    # beginnings of names, theirs and ours; the first one that fits counts
    *(
        (f'backbone.{tower}{_BLOCK}{theirs}.', f'{flows}.{{i}}.{ours}.')
        for tower, flows in (('visual.', 'image_flows'), ('', 'text_flows'))
        for theirs, ours in (
            ('flow.transforms', 'attn.steps'),
            ('flow.affine_transform', 'attn'),
            ('flow2.transforms', 'mlp.steps'),
            ('flow2.affine_transform', 'mlp'),
        )
    ),
    *(
        (f'backbone.{theirs}{name}', f'{ours}.{our_name}')
        for theirs, ours in (('visual.', 'encoder'), ('', 'text_encoder'))
        for name, our_name in (
            (_BLOCK + 'mlp.c_fc.', 'blocks.{i}.mlp.0.'),
            (_BLOCK + 'mlp.c_proj.', 'blocks.{i}.mlp.2.'),
            (_BLOCK, 'blocks.{i}.'),
            ('', ''),
        )
    ),
    ('intertwiner.proj.', 'prompts.'),
    ('neck.coordconv.0.conv1.', 'neck.coordconv.0.'),
    *((f'{name}.', f'{name}.') for name in ('neck', 'decoder', 'side_linear')),
    ('proj.', 'projector.'),
    (_SIDE + 'query_', 'side.query_'),
    (_SIDE + 'proj.', 'side.words.'),
    (_SIDE + 'fusion_layers.layer_{i}.input_proj.0.', 'side.fusions.{i}.norm.'),
    (_SIDE + 'fusion_layers.layer_{i}.input_proj.1.', 'side.fusions.{i}.proj.'),
    (_SIDE + 'vit_model.pos_embed', 'side.pos_embed'),
    (_SIDE + 'vit_model.patch_embed.proj.', 'side.patch_embed.'),
    (_SIDE + 'vit_model.decoders.', 'side.decoders.'),
    (_SIDE + 'vit_model.blocks.{i}.attn.qkv.', 'side.blocks.{i}.qkv.'),
    (_SIDE + 'vit_model.blocks.{i}.attn.proj.', 'side.blocks.{i}.proj.'),
    (_SIDE + 'vit_model.blocks.{i}.mlp.fc1.', 'side.blocks.{i}.mlp.0.'),
    (_SIDE + 'vit_model.blocks.{i}.mlp.fc2.', 'side.blocks.{i}.mlp.2.'),
    (_SIDE + 'vit_model.blocks.{i}.norm', 'side.blocks.{i}.norm'),
]
_FUSION = re.compile(r'side_adapter_network\.fusion_layers\.layer_\d+\.input_proj\.1\.weight')  # 1x1 kernels there


def _pattern(template: str) -> re.Pattern:
    return re.compile(re.escape(template).replace(r'\{i\}', r'(?P<i>\d+)'))


_TO_OURS = [(_pattern(theirs), ours) for theirs, ours in _NAMES]
_TO_THEIRS = [(_pattern(ours), theirs) for theirs, ours in _NAMES]
