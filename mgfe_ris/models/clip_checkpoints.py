"""CLIP's weights: of OpenAI, of Hugging Face, or inside of a model of its family -> our encoders', and back."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .renaming import Rule, State, rename, state_dict_of, with_tower


def from_clip_resnet(checkpoint: Mapping[str, Any]) -> State:
    """CLIP's image tower of convolutions: OpenAI's, or the one in a checkpoint of CRIS or ETRIS; names stay.

    The rest of the model is left out.
    """
    state = _clip_of(checkpoint)
    if any(name.startswith('visual.') for name in state):
        state = {name.removeprefix('visual.'): v for name, v in state.items() if name.startswith('visual.')}
    return rename(state, _CLIP_RESNET, left_out=[])


def from_clip_vit(checkpoint: Mapping[str, Any]) -> State:
    """CLIP's image tower of attention under the names of our ``CLIPViTEncoder``: OpenAI's, Hugging Face's, or the one
    in a checkpoint of ETRIS or BarLeRIa, whose flows are left out.

    The text tower and the rest of the model are left out.
    """
    state = _clip_of(checkpoint)
    if any(name.startswith('vision_model.') for name in state):
        left_out = [_UNUSED, r'(text_model|text_projection)\.']
        return rename(_join_in_proj(state), _CLIP_VIT_HUGGING_FACE, left_out)
    if any(name.startswith('visual.') for name in state):
        state = {name.removeprefix('visual.'): v for name, v in state.items() if name.startswith('visual.')}
    return rename(state, _CLIP_VIT, left_out=[_FLOWS_OF_BARLERIA])


def from_clip_text(checkpoint: Mapping[str, Any]) -> State:
    """CLIP's text tower under the names of our ``CLIPTextTower``: OpenAI's, Hugging Face's, or the one in a
    checkpoint of CRIS, ETRIS or BarLeRIa, whose flows are left out.

    The image tower and the rest of the model are left out.
    """
    state = _clip_of(checkpoint)
    if any(name.startswith('text_model.') for name in state):
        left_out = [_UNUSED, r'(vision_model|visual_projection)\.']
        return rename(_join_in_proj(state), _CLIP_TEXT_HUGGING_FACE, left_out)
    left_out = [_FLOWS_OF_BARLERIA, r'visual\.', '(logit_scale|input_resolution|context_length|vocab_size)$']
    return rename(state, _CLIP_TEXT, left_out)


def from_clip_heir(state: State, rules: Iterable[Rule], left_out: Iterable[str] = ()) -> State:
    """A model that has CLIP as its ``backbone.``, as CRIS and those built on it -> ours, with CLIP as ``encoder.`` and
    ``text_encoder.``. ``logit_scale``, which nothing reads, is left out.

    Args:
        rules: its names beside CLIP's -> ours.
        left_out: patterns of the beginnings of names that are dropped.

    Raises:
        ValueError: there is no CLIP in it, or there are names that neither CLIP nor the rules explain.
    """
    towers = {name: value for name, value in state.items() if name.startswith('backbone.')}
    if not towers:
        raise ValueError('there is no CLIP in it, whose names begin with "backbone."')
    image = from_clip_vit if 'backbone.visual.class_embedding' in towers else from_clip_resnet
    ours = {f'encoder.{name}': value for name, value in image(towers).items()}
    ours |= {f'text_encoder.{name}': value for name, value in from_clip_text(towers).items()}
    return ours | rename(state, rules, [*left_out, rf'backbone\.(?!{_FLOWS_OF_BARLERIA}|visual\.{_FLOWS_OF_BARLERIA})'])


def to_clip_heir(state: Mapping[str, Tensor], rules: Iterable[Rule]) -> dict[str, State]:
    """The way back, by the same rules: ``{'state_dict': ...}`` with ``module.`` before each name, as such models'
    trainings save it. ``logit_scale`` gets CLIP's ln 100.

    Raises:
        ValueError: names that no rule explains, or layers of ours that CLIP has not, such as ``encoder.out_norms``.
    """
    theirs = rename(state, [rule.reversed() for rule in rules], [r'(encoder|text_encoder|data_preprocessor)\.'])
    towers = {'encoder.': ('backbone.visual.', [*_CLIP_VIT, *_CLIP_RESNET]), 'text_encoder.': ('backbone.', _CLIP_TEXT)}
    for ours, (prefix, names) in towers.items():
        tower = {name.removeprefix(ours): value for name, value in state.items() if name.startswith(ours)}
        back = [rule.reversed() for rule in names if not rule.ours.startswith(('out_norms.', 'pyramid.'))]
        theirs |= {prefix + name: value for name, value in rename(tower, back).items()}
    theirs['backbone.logit_scale'] = torch.tensor(math.log(100))
    return {'state_dict': {f'module.{name}': value for name, value in theirs.items()}}


def _clip_of(checkpoint: Mapping[str, Any]) -> State:
    """CLIP alone, where it is the backbone of a larger model."""
    state = state_dict_of(checkpoint)
    inside = {name.removeprefix('backbone.'): v for name, v in state.items() if name.startswith('backbone.')}
    return inside or with_tower(state)


def _join_in_proj(state: State) -> State:
    """Of CLIP: query, key and value, which Hugging Face keeps apart, are one parameter in torch's attention."""
    state = dict(state)
    for name in [name for name in state if '.self_attn.q_proj.' in name]:
        parts = [name.replace('q_proj', part) for part in ('q_proj', 'k_proj', 'v_proj')]
        if all(part in state for part in parts):
            joined = name.replace('q_proj.', 'in_proj_')
            state[joined] = torch.cat([state.pop(part) for part in parts])
    return state


# The tables

_UNUSED = r'(.*position_ids|logit_scale)$'
_FLOWS_OF_BARLERIA = r'transformer\.resblocks\.\d+\.flow2?\.'

_CLIP_RESNET = [
    Rule(name, name)
    for name in (
        *('conv{k}.{p}', 'bn{k}.{n}', 'out_norms.{i}.{p}'),
        *('layer{i}.{j}.conv{k}.{p}', 'layer{i}.{j}.bn{k}.{n}', 'layer{i}.{j}.downsample.{k}.{n}'),
        *(f'attnpool.{part}_proj.{{p}}' for part in ('q', 'k', 'v', 'c')),
        *('attnpool.positional_embedding', 'attnpool.connect.{k}.{n}'),
    )
]

_CLIP_BLOCK = [
    *(Rule(name, name) for name in ('ln_{k}.{p}', 'attn.in_proj_{p}', 'attn.out_proj.{p}')),
    Rule('mlp.c_fc.{p}', 'mlp.0.{p}'),
    Rule('mlp.c_proj.{p}', 'mlp.2.{p}'),
]

_CLIP_TEXT = [
    *(Rule(name, name) for name in ('token_embedding.{p}', 'positional_embedding', 'ln_final.{p}', 'text_projection')),
    *(rule.prefixed('transformer.resblocks.{i}.', 'blocks.{i}.') for rule in _CLIP_BLOCK),
    *(Rule(f'blocks.{{i}}.{rule.ours}', f'blocks.{{i}}.{rule.ours}') for rule in _CLIP_BLOCK),
]

_TRANSPOSED = (lambda x: x.T.contiguous(), lambda x: x.T.contiguous())

_CLIP_BLOCK_HUGGING_FACE = [
    Rule('layer_norm{k}.{p}', 'ln_{k}.{p}'),
    Rule('self_attn.in_proj_{p}', 'attn.in_proj_{p}'),
    Rule('self_attn.out_proj.{p}', 'attn.out_proj.{p}'),
    Rule('mlp.fc1.{p}', 'mlp.0.{p}'),
    Rule('mlp.fc2.{p}', 'mlp.2.{p}'),
]

_CLIP_TEXT_HUGGING_FACE = [
    Rule('text_model.embeddings.token_embedding.{p}', 'token_embedding.{p}'),
    Rule('text_model.embeddings.position_embedding.weight', 'positional_embedding'),
    Rule('text_model.final_layer_norm.{p}', 'ln_final.{p}'),
    Rule('text_projection.weight', 'text_projection', _TRANSPOSED),
    *(rule.prefixed('text_model.encoder.layers.{i}.', 'blocks.{i}.') for rule in _CLIP_BLOCK_HUGGING_FACE),
]

_CLIP_VIT = [
    *(Rule(name, name) for name in ('conv1.weight', 'class_embedding', 'positional_embedding', 'proj')),
    *(Rule(name, name) for name in ('ln_pre.{p}', 'ln_post.{p}')),
    *(Rule(name, name) for name in ('out_norms.{i}.{p}', 'pyramid.upsample_{i}x.{j}.{n}')),
    *(rule.prefixed('transformer.resblocks.{i}.', 'blocks.{i}.') for rule in _CLIP_BLOCK),
    *(Rule(f'blocks.{{i}}.{rule.ours}', f'blocks.{{i}}.{rule.ours}') for rule in _CLIP_BLOCK),
]

_CLIP_VIT_HUGGING_FACE = [
    Rule('vision_model.embeddings.class_embedding', 'class_embedding'),
    Rule('vision_model.embeddings.patch_embedding.weight', 'conv1.weight'),
    Rule('vision_model.embeddings.position_embedding.weight', 'positional_embedding'),
    Rule('vision_model.pre_layrnorm.{p}', 'ln_pre.{p}'),
    Rule('vision_model.post_layernorm.{p}', 'ln_post.{p}'),
    Rule('visual_projection.weight', 'proj', _TRANSPOSED),
    *(rule.prefixed('vision_model.encoder.layers.{i}.', 'blocks.{i}.') for rule in _CLIP_BLOCK_HUGGING_FACE),
]
