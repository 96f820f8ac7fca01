"""VLT's weights as LAVT's authors save them, under our names and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mgfe_ris.models.checkpoints import from_lavt_heir, to_lavt_heir
from mgfe_ris.models.pixel_decoder import sine
from mgfe_ris.models.renaming import CONV1D_AS_LINEAR, Rule, State, state_dict_of

JOIN = [
    *(Rule(f'lang_proj.{j}.{{n}}', f'sentence.{j}.{{n}}') for j in (0, 1)),
    *(
        Rule(f'{theirs}.{conv}.{{n}}', f'{ours}.{i}.{conv - 3 * i}.{{n}}')
        for theirs, ours in (('vis_reduce_chann_1', 'see4'), ('hallucinate_result_of_23', 'again'))
        for i, conv in ((0, 0), (0, 1), (1, 3), (1, 4))
    ),
    Rule('joint_threshold.0.{n}', 'gated.0.{n}'),
    Rule('vis_reduce_chann_2.{j}.{n}', 'see3.{j}.{n}'),
    Rule('vis_reduce_chann_3.{j}.{n}', 'see2.{j}.{n}'),
    Rule('fuse_1_2.{j}.{n}', 'join43.{j}.{n}'),
    Rule('fuse_2_3.{j}.{n}', 'join432.{j}.{n}'),
    Rule('project_again.{j}.{n}', 'join_again.{j}.{n}'),
    Rule('fuse_again.{j}.{n}', 'join_all.0.{j}.{n}'),
    Rule('last_project.{j}.{n}', 'join_all.1.{j}.{n}'),
]
MAKE_QUERIES = [
    *(Rule(f'project_1.{3 * i + j}.{{n}}', f'look.{i}.{j}.{{n}}') for i in range(3) for j in (0, 1)),
    Rule('project_2.{p}', 'look.3.{p}'),
    Rule('project_query.0.{p}', 'query.{p}', CONV1D_AS_LINEAR),
    Rule('project_lang.0.{p}', 'word.{p}', CONV1D_AS_LINEAR),
    Rule('query_gen.in_proj_{p}', 'attn.in_proj_{p}'),
    Rule('query_gen.out_proj.{p}', 'attn.out_proj.{p}'),
]


def _layer(attentions: Mapping[str, str]) -> list[Rule]:
    """Of torch's transformers, which number the norms in their order."""
    rules = [Rule('linear{k}.{p}', 'think.linear{k}.{p}'), Rule(f'norm{len(attentions) + 1}.{{p}}', 'think.norm.{p}')]
    for i, (theirs, ours) in enumerate(attentions.items(), start=1):
        rules += [
            Rule(f'{theirs}.in_proj_{{p}}', f'{ours}.attn.in_proj_{{p}}'),
            Rule(f'{theirs}.out_proj.{{p}}', f'{ours}.attn.out_proj.{{p}}'),
            Rule(f'norm{i}.{{p}}', f'{ours}.norm.{{p}}'),
        ]
    return rules


ENCODER, DECODER = _layer({'self_attn': 'among'}), _layer({'self_attn': 'among', 'multihead_attn': 'ask'})
TRANSFORMER = [
    *(rule.prefixed('transformer_encoder.layers.{i}.', 'encoder.{i}.') for rule in ENCODER),
    *(rule.prefixed('transformer_decoder.layers.{i}.', 'decoder.{i}.') for rule in DECODER),
]
BALANCE = [
    Rule('not_decoded_query_proj.0.{p}', 'query.{p}', CONV1D_AS_LINEAR),
    Rule('decoded_query_proj.0.{p}', 'answer.{p}', CONV1D_AS_LINEAR),
    Rule('gate_proj.{j}.{p}', 'gate.{j}.{p}', CONV1D_AS_LINEAR),
]
DECODE = [
    *(
        Rule(f'{part}{theirs}.{{n}}', f'{ours}.{j}.{{n}}')
        for theirs, ours in (('1_4', 0), ('2_4', 1), ('1_3', 3), ('1_2', 5), ('1_1', 7))
        for j, part in enumerate(('conv', 'bn'))
    ),
    Rule('classifier.{p}', '8.{p}'),
]
HEAD = [
    *(rule.prefixed('', 'join.') for rule in JOIN),
    *(rule.prefixed('query_generation.', 'make_queries.') for rule in MAKE_QUERIES),
    *(rule.prefixed('transformer_fusion.', 'transformer.') for rule in TRANSFORMER),
    *(rule.prefixed('query_balancing.', 'balance.') for rule in BALANCE),
    Rule('q_to_spatial.0.{p}', 'draw.{p}', CONV1D_AS_LINEAR),
    Rule('spatial_refine.{j}.{n}', 'refine.{j}.{n}'),
    *(rule.prefixed('decoding.', 'decode.') for rule in DECODE),
]
RULES = [
    Rule('backbone.{rest}', 'backbone.{rest}'),
    Rule('text_encoder.{rest}', 'text_encoder.{rest}'),
    *(rule.prefixed('classifier.', 'head.') for rule in HEAD),
]
ORDERS = ('classifier.query_generation.pos_encoder.pe', 'classifier.transformer_fusion.pos_encoder.pe')
"""Sines of positions, (5000, 1, C), which they save and we compute."""


def from_vlt(checkpoint: Mapping[str, Any]) -> State:
    """The weights of the VLT of LAVT's authors -> ours; every name is accounted for.

    Args:
        checkpoint: ``{'model': ...}``, or a state dict; names with or without ``module.``.

    Raises:
        ValueError: names that no VLT has.
    """
    state = state_dict_of(checkpoint)
    if not any(name.startswith('classifier.query_generation.') for name in state):
        raise ValueError('no names of VLT: it has those that begin with classifier.query_generation')
    return from_lavt_heir(state, RULES, left_out=[r'classifier\.\w+\.pos_encoder\.pe$'])


def to_vlt(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a VLT, as the code of LAVT's authors loads them: ``{'model': ...}``.

    Raises:
        ValueError: names that no VLT has.
    """
    official = to_lavt_heir(state, RULES)
    weight = official['classifier.last_project.0.weight']
    for name in ORDERS:
        index = torch.arange(5000, dtype=torch.promote_types(weight.dtype, torch.float32))
        official[name] = sine(index, len(weight))[:, None].to(weight.dtype)
    return {'model': official}
