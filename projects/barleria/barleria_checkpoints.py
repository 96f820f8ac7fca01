"""BarLeRIa's official weights, under our names and back."""

from collections.abc import Mapping
from typing import Any

import torch

from mgfe_ris.models.clip_checkpoints import from_clip_heir, to_clip_heir
from mgfe_ris.models.renaming import CONV2D_AS_LINEAR, Rule, State, state_dict_of

FLOWS = [
    *(
        Rule(f'{theirs}.transforms.{{j}}.{{rest}}', f'{ours}.steps.{{j}}.{{rest}}')
        for theirs, ours in (('flow', 'attn'), ('flow2', 'mlp'))
    ),
    *(
        Rule(f'{theirs}.affine_transform.{{rest}}', f'{ours}.{{rest}}')
        for theirs, ours in (('flow', 'attn'), ('flow2', 'mlp'))
    ),
]
SIDE = [
    Rule('query_{rest}', 'query_{rest}'),
    Rule('proj.{rest}', 'words.{rest}'),
    Rule('fusion_layers.layer_{i}.input_proj.0.{p}', 'fusions.{i}.norm.{p}'),
    Rule('fusion_layers.layer_{i}.input_proj.1.{p}', 'fusions.{i}.proj.{p}', CONV2D_AS_LINEAR),
    Rule('vit_model.pos_embed', 'pos_embed'),
    Rule('vit_model.patch_embed.proj.{p}', 'patch_embed.{p}'),
    Rule('vit_model.decoders.{rest}', 'decoders.{rest}'),
    Rule('vit_model.blocks.{i}.attn.qkv.{p}', 'blocks.{i}.qkv.{p}'),
    Rule('vit_model.blocks.{i}.attn.proj.{p}', 'blocks.{i}.proj.{p}'),
    Rule('vit_model.blocks.{i}.mlp.fc1.{p}', 'blocks.{i}.mlp.0.{p}'),
    Rule('vit_model.blocks.{i}.mlp.fc2.{p}', 'blocks.{i}.mlp.2.{p}'),
    Rule('vit_model.blocks.{i}.norm{k}.{p}', 'blocks.{i}.norm{k}.{p}'),
]
RULES = [
    *(rule.prefixed('backbone.visual.transformer.resblocks.{i}.', 'image_flows.{i}.') for rule in FLOWS),
    *(rule.prefixed('backbone.transformer.resblocks.{i}.', 'text_flows.{i}.') for rule in FLOWS),
    *(rule.prefixed('side_adapter_network.', 'side.') for rule in SIDE),
    Rule('side_linear.{p}', 'side_linear.{p}'),
    Rule('intertwiner.proj.{rest}', 'prompts.{rest}'),
    Rule('neck.coordconv.0.conv1.{rest}', 'neck.coordconv.0.{rest}'),
    Rule('neck.{rest}', 'neck.{rest}'),
    Rule('decoder.{rest}', 'decoder.{rest}'),
    Rule('proj.{rest}', 'projector.{rest}'),
]


def from_barleria(checkpoint: Mapping[str, Any]) -> State:
    """The official BarLeRIa's weights -> ours; every name is accounted for.

    Left out: ``logit_scale``, which nothing reads, and what the flows hold twice.

    Args:
        checkpoint: what its training saves, ``{'state_dict': ...}`` with ``module.`` before each name, or a state dict.

    Raises:
        ValueError: names that no BarLeRIa has, or two values of one weight of a flow.
    """
    state = state_dict_of(checkpoint)
    for name in (name for name in state if '.log_jacobians.' in name):
        once = name.replace('.log_jacobians.', '.transforms.')
        if once not in state or not torch.equal(state[name], state[once]):
            raise ValueError(f'{name} differs from {once}: the official code has one weight under both names')
    return from_clip_heir(state, RULES, left_out=[r'.*\.log_jacobians\.'])


def to_barleria(state: Mapping[str, Any]) -> dict[str, State]:
    """Our BarLeRIa's weights -> ``{'state_dict': ...}``, which the official code loads, with ``module.`` before each
    name.

    Raises:
        ValueError: names that no BarLeRIa has.
    """
    theirs = to_clip_heir(state, RULES)['state_dict']
    twice = {k.replace('.transforms.', '.log_jacobians.'): v for k, v in theirs.items() if '.transforms.' in k}
    return {'state_dict': theirs | twice}
