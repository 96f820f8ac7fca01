"""SeqTR's weights as its authors save them, under our names and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mgfe_ris.models.renaming import Rule, State, rename, state_dict_of, without_prefix

ATTENTION = ('query', 'key', 'value')


def _layer(attentions: Mapping[str, str]) -> list[Rule]:
    """Of torch's transformers, which number the norms in their order."""
    rules = [Rule('linear1.{p}', 'linear1.{p}'), Rule('linear2.{p}', 'linear2.{p}')]
    rules.append(Rule(f'norm{len(attentions) + 1}.{{p}}', 'norm.{p}'))
    for i, (theirs, ours) in enumerate(attentions.items(), start=1):
        rules += [
            *(Rule(f'{theirs}.{part}.{{p}}', f'{ours}.{part}.{{p}}') for part in ATTENTION),  # split, see _split
            Rule(f'{theirs}.out_proj.{{p}}', f'{ours}.out.{{p}}'),
            Rule(f'norm{i}.{{p}}', f'{ours}.norm.{{p}}'),
        ]
    return rules


CONVS = [Rule('conv.{p}', 'conv.{p}'), Rule('bn.{n}', 'bn.{n}')]
ENCODER, DECODER = _layer({'self_attn': 'among'}), _layer({'self_attn': 'among', 'multihead_attn': 'ask'})
TRANSFORMER = [
    *(rule.prefixed('encoder.layers.{i}.', 'encoder.{i}.') for rule in ENCODER),
    *(rule.prefixed('decoder.layers.{i}.', 'decoder.{i}.') for rule in DECODER),
    Rule('decoder.norm.{p}', 'norm.{p}'),
    Rule('query_embedding.{p}', 'table.{p}'),
    Rule('seq_positional_encoding.embedding.{p}', 'places.{p}'),
    Rule('input_proj.conv.{p}', 'input_proj.0.{p}'),
    Rule('input_proj.gn.{p}', 'input_proj.1.{p}'),
]
RULES = [
    *(rule.prefixed('vis_enc.darknet.{i}.', 'encoder.layers.{i}.') for rule in CONVS),
    *(rule.prefixed('vis_enc.darknet.{i}.module_list.{j}.{k}.', 'encoder.layers.{i}.pairs.{j}.{k}.') for rule in CONVS),
    Rule('lan_enc.embedding.weight', 'text_encoder.table.weight'),
    Rule('lan_enc.lstm.{rest}', 'text_encoder.gru.{rest}'),
    *(rule.prefixed('fusion.down_bot2mid.1.', 'fusion.down1.1.') for rule in CONVS),
    *(rule.prefixed('fusion.down_mid2top.1.', 'fusion.down2.1.') for rule in CONVS),
    *(rule.prefixed('fusion.top_project.{i}.', 'fusion.project.{i}.') for rule in CONVS),
    *(rule.prefixed('head.transformer.', 'transformer.') for rule in TRANSFORMER),
    *(Rule(f'head.predictor.{i}.fc.{{p}}', f'transformer.predictor.{2 * i}.{{p}}') for i in range(3)),
]


def from_seqtr(checkpoint: Mapping[str, Any]) -> State:
    """The weights of an official SeqTR -> ours; every name is accounted for.

    Args:
        checkpoint: with ``ema_state_dict``, the mean of the weights, by which the authors score, or ``state_dict``; or
            a state dict; names with or without ``module.``.

    Raises:
        ValueError: names that no SeqTR for segmentation alone has.
    """
    state = without_prefix(state_dict_of(checkpoint.get('ema_state_dict') or checkpoint), 'module.')
    if not any(name.startswith('vis_enc.darknet.') for name in state):
        raise ValueError('no names of SeqTR: it has those that begin with vis_enc.darknet')
    if 'head.task_embedding' in state:
        raise ValueError('a SeqTR of several tasks (head.task_embedding); expected one of segmentation alone')
    split: State = {}
    for name, value in state.items():
        base, _, kind = name.rpartition('.in_proj_')
        if base:
            for part, share in zip(ATTENTION, value.chunk(3), strict=True):
                split[f'{base}.{part}.{kind}'] = share
        else:
            split[name] = value
    return rename(split, RULES)


def to_seqtr(state: Mapping[str, Tensor]) -> dict[str, State]:
    """Our weights of a SeqTR, as the official code loads them: ``{'state_dict': ...}``.

    Raises:
        ValueError: names that no SeqTR has.
    """
    official = rename(state, [rule.reversed() for rule in RULES], left_out=['data_preprocessor'])
    joined: State = {}
    for name, value in official.items():
        base, _, rest = name.partition('attn.query.')
        if rest:
            parts = [official[f'{base}attn.{part}.{rest}'] for part in ATTENTION]
            joined[f'{base}attn.in_proj_{rest}'] = torch.cat(parts)
        elif 'attn.key.' not in name and 'attn.value.' not in name:
            joined[name] = value
    return {'state_dict': joined}
