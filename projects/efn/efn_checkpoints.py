"""EFN's official weights, under our names and back."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mgfe_ris.models.renaming import Rule, State, rename, state_dict_of

RESNET = [
    *(Rule(f'scale1.{i}.{{n}}', f'{name}.{{n}}') for i, name in enumerate(('conv1', 'bn1'))),
    *(
        Rule(f'{theirs}.{{i}}.{name}.{{n}}', f'{ours}.{{i}}.{name}.{{n}}')
        for theirs, ours in (('scale2.1', 'layer1'), ('scale3', 'layer2'), ('scale4', 'layer3'), ('scale5', 'layer4'))
        for name in ('conv{j}', 'bn{j}', 'downsample.{k}')
    ),
]
TEXT = [
    Rule('embedding.weight', 'table.weight'),
    Rule('mlp.0.{p}', 'mlp.0.{p}'),
    *(
        Rule(f'rnn.{name}_l0{theirs}', f'{ours}.{name}')
        for theirs, ours in (('', 'forwards'), ('_reverse', 'backwards'))
        for name in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
    ),
]


def _conv_norm_prelu(theirs: str, ours: str) -> list[Rule]:
    names = ('conv.weight', '0.weight'), ('bn.{n}', '1.{n}'), ('relu.weight', '2.weight')
    return [Rule(f'{theirs}.{a}', f'{ours}.{b}') for a, b in names]


def _linear_norm(theirs: str, ours: str) -> list[Rule]:
    return [Rule(f'{theirs}.0.{{p}}', f'{ours}.0.{{p}}'), Rule(f'{theirs}.1.{{n}}', f'{ours}.1.{{n}}')]


def _stage(number: int) -> list[Rule]:
    ours = f'fuse.{number}'
    attention = dict(linear_e='of_photo', linear_q='of_language', conv1='language', conv2='photo')
    return [
        *_conv_norm_prelu(f'lang_c{number}_1', f'{ours}.see'),
        *_conv_norm_prelu(f'lang_c{number}_2', f'{ours}.join'),
        *_conv_norm_prelu(f'lang_c{number}_3', f'{ours}.merge'),
        *_linear_norm(f'c{number}_lang', f'{ours}.words'),
        Rule(f'wordvisual{number}.visual.{{p}}', f'{ours}.ask.{{p}}'),
        *(Rule(f'attention{number}.{a}.weight', f'{ours}.attention.{b}.weight') for a, b in attention.items()),
    ]


def _head(theirs: str, ours: str) -> list[Rule]:
    return [*_conv_norm_prelu(f'{theirs}.0', f'{ours}.0'), Rule(f'{theirs}.1.weight', f'{ours}.1.weight')]


def _step(i: int) -> list[Rule]:
    """The one that begins with their map ``number`` and makes the one before it."""
    number = 5 - i
    split = f'squeeze_body_edge{number}'
    rules = [
        Rule(f'{split}.down.{{j}}.{{n}}', f'split.{i}.down.{{j}}.{{n}}'),
        Rule(f'{split}.flow_make.weight', f'split.{i}.flow.weight'),
        Rule(f'{split}.fc_loc.{{j}}.{{p}}', f'split.{i}.move.{{j}}.{{p}}'),
        Rule(f'edge_fusion{number}.weight', f'draw.{i}.weight'),
        *_head(f'dsn_seg_body{number - 1}', f'body_heads.{i}'),
        *_head(f'edge_out{number - 1}', f'edge_heads.{i}'),
    ]
    if number == 2:
        return [*rules, *_conv_norm_prelu('output1.0', 'out.3.0'), Rule('output1.1.{p}', 'out.3.1.{p}')]
    out = _conv_norm_prelu(f'output{number - 1}', f'out.{i}')
    return [*rules, *out, *_head(f'final_seg{number - 1}', f'mask_heads.{i}')]


DECODER = [
    *(rule for number in range(1, 6) for rule in _conv_norm_prelu(f'reduced_c{number}', f'reduce.{number - 1}')),
    *_conv_norm_prelu('output5', 'first'),
    *(rule for i in range(4) for rule in _step(i)),
]
RULES = [
    Rule('img_bn.{n}', 'image_norm.{n}'),
    *(rule.prefixed('', 'encoder.') for rule in RESNET),
    *(rule.prefixed('textmodel.', 'text_encoder.') for rule in TEXT),
    *_linear_norm('mapping_lang', 'words'),
    *_linear_norm('mapping_hT', 'sentence'),
    *(rule for number in (3, 4, 5) for rule in _stage(number)),
    *(rule.prefixed('', 'decoder.') for rule in DECODER),
]


def from_efn(checkpoint: Mapping[str, Any]) -> State:
    """The official EFN's weights -> ours; every name is accounted for.

    Args:
        checkpoint: a state dict, bare or under ``'state_dict'`` or ``'model'``; names with or without ``module.``.

    Raises:
        ValueError: names that no EFN has.
    """
    state = state_dict_of(checkpoint)
    if not any(name.startswith('squeeze_body_edge') for name in state):
        raise ValueError('no names of EFN: it has those that begin with squeeze_body_edge')
    return rename(state, RULES)


def to_efn(state: Mapping[str, Tensor]) -> State:
    """Our weights of an EFN, as the official code loads them: a state dict.

    Raises:
        ValueError: names that no EFN has.
    """
    return rename(state, [rule.reversed() for rule in RULES], left_out=['data_preprocessor'])
