"""State dicts: foreign ones -> ours, ours -> official LAVT, and which is which. Pure functions: tensors and names.

Every conversion raises ValueError with the list of all names that it cannot explain; what it leaves out on purpose
(buffers that follow from the architecture, heads of other tasks) is named in this file.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .renaming import (
    CONV1D_AS_CONV2D,
    CONV1D_AS_LINEAR,
    LINEAR_AS_CONV2D,
    Rule,
    State,
    fits_any,
    rename,
    state_dict_of,
    with_tower,
    without_prefix,
)


def from_lavt(checkpoint: Mapping[str, Any]) -> State:
    """The official LAVT's weights, under our names.

    Also with EFN's, BRINet's or GACD's module in the place of its attention: LAVT-RS, the code base of the paper's
    experiments, is taken to save them under the same name.

    Args:
        checkpoint: what the official code saves: ``{'model': ..., 'bert_model': ...}``, the single-model form with
            BERT as ``text_encoder.`` in ``'model'``, or a bare state dict; names with or without ``module.``.
    """
    state = state_dict_of(checkpoint)
    if isinstance(checkpoint.get('bert_model'), Mapping):
        bert = without_prefix(checkpoint['bert_model'], 'module.')
        state = {**state, **{f'text_encoder.{name}': value for name, value in bert.items()}}
    rules = _lavt_rules(_attention_of(state, r'backbone\.layers\.\d+\.fusion\.'))
    return rename(state, rules, left_out=[_FOLLOWS_FROM_WINDOW, rf'text_encoder\.({_UNUSED_TEXT})'])


def from_attention(state: Mapping[str, Tensor]) -> State:
    """One module at the place of G, LAVT's or a rival's of Table 6, as the paper's code base saves it -> our names."""
    return rename(dict(state), _attention_of(state, ''), left_out=[])


def to_lavt(state: State, single_model: bool = False) -> dict[str, State]:
    """Our weights of a LAVT model, as the official code loads them.

    Args:
        state: of a ``ReferringSegmentor`` that is LAVT: Swin, language gate, BERT; its attention may be that of Table
            6, rows 1 to 3.
        single_model: BERT inside of ``'model'``, instead of a ``'bert_model'`` beside it.

    Returns:
        ``{'model': ..., 'bert_model': ...}``, with the buffers that the official code expects.
    """
    rules = _lavt_rules(_attention_of_ours(state))
    state = rename(state, [rule.reversed() for rule in rules], left_out=[r'data_preprocessor\.'])
    for name in [name for name in state if name.endswith('relative_position_bias_table')]:
        index = name.replace('bias_table', 'index')
        state[index] = _relative_position_index(_window_size(state[name]))
    positions = state.get('text_encoder.embeddings.position_embeddings.weight')
    if positions is not None:
        state['text_encoder.embeddings.position_ids'] = torch.arange(len(positions))[None]
    if single_model:
        return dict(model=state)
    bert = {name: value for name, value in state.items() if name.startswith('text_encoder.')}
    model = {name: value for name, value in state.items() if name not in bert}
    return dict(model=model, bert_model=without_prefix(bert, 'text_encoder.'))


def from_lavt_heir(state: State, rules: Iterable[Rule], left_out: Iterable[str] = ()) -> State:
    """A model that took over Swin and BERT of LAVT -> ours.

    Args:
        rules: its names -> LAVT's of what :func:`from_lavt` knows, ``backbone.`` and ``text_encoder.``; others -> ours.
        left_out: patterns of the beginnings of names that are dropped.
    """
    state = rename(state, rules, left_out)
    lavt = {name: value for name, value in state.items() if name.startswith(('backbone.', 'text_encoder.'))}
    return from_lavt(lavt) | {name: value for name, value in state.items() if name not in lavt}


def to_lavt_heir(state: Mapping[str, Tensor], rules: Iterable[Rule], left_out: Iterable[str] = ()) -> State:
    """The way back, by the same rules. With Swin's buffers, without BERT's, which none of the heirs saves."""
    lavt = {name: v for name, v in state.items() if name.startswith(('encoder.', 'text_encoder.', 'neck.'))}
    theirs = to_lavt(lavt, single_model=True)['model'] | {k: v for k, v in state.items() if k not in lavt}
    left_out = [*left_out, r'data_preprocessor\.', r'text_encoder\.embeddings\.position_ids']
    return rename(theirs, [rule.reversed() for rule in rules], left_out)


def from_swin(checkpoint: Mapping[str, Any]) -> State:
    """Swin's weights from the original repository, OpenMMLab or Hugging Face, under mmseg's (and our) names.

    A classifier's head and last norm are left out; norms of single stages, where there are any, are kept.

    Args:
        checkpoint: a state dict, or a dict with one under ``'model'`` or ``'state_dict'``.
    """
    state = _body(state_dict_of(checkpoint), ('backbone.', 'swin.'))
    left_out = [_FOLLOWS_FROM_WINDOW, r'(norm|layernorm|head|classifier|decoder)\.', r'embeddings\.mask_token$']
    if any(name.startswith('embeddings.') for name in state):
        return rename(_join_qkv(state), _SWIN_HUGGING_FACE, left_out)
    if any(name.startswith('patch_embed.projection.') for name in state):
        return rename(state, _SWIN_OPENMMLAB, left_out)
    return rename(state, _SWIN, left_out)


def from_vit(checkpoint: Mapping[str, Any]) -> State:
    """A plain ViT's weights from DINO's repository (timm's names) or OpenMMLab, under mmpretrain's names.

    The norm after the last block is left out: our encoder has one for each stage.
    """
    state = _body(state_dict_of(checkpoint), ('backbone.',))
    return rename(state, _VIT, left_out=[r'(norm|ln1|head)\.'])


def from_convolutional(checkpoint: Mapping[str, Any]) -> State:
    """A ResNet's or ConvNeXt's weights from torchvision (ResNet) or OpenMMLab, whose names are ours."""
    state = _body(state_dict_of(checkpoint), ('backbone.',))
    return rename(state, _CONVOLUTIONAL, left_out=[r'(fc|head)\.'])


def from_text(checkpoint: Mapping[str, Any]) -> State:
    """BERT's, RoBERTa's or CLIP's text weights of Hugging Face, under the names of our ``HFTextEncoder``.

    A file of ours passes through.

    Poolers, heads, CLIP's image side and its projections are left out.
    """
    state = with_tower(without_prefix(state_dict_of(checkpoint), 'model.'))
    if any('token_embedding.' in name for name in state):
        return rename(state, _CLIP, left_out=[_UNUSED_TEXT, r'(vision_model|visual_projection|text_projection)\.'])
    heads = [_UNUSED_TEXT, r'(cls|lm_head|classifier|qa_outputs)\.']
    state = {_todays_name(name): value for name, value in state.items() if not fits_any(heads, name)}
    return rename(without_prefix(without_prefix(state, 'bert.'), 'roberta.'), _BERT, left_out=[])


def resize_position_tables(state: State, window_size: int) -> State:
    """Swin's relative position tables, ((2 w - 1)^2, heads), interpolated to another window (bicubic, as the
    original repository does)."""
    side = 2 * window_size - 1

    def resize(name: str, table: Tensor) -> Tensor:
        old = 2 * _window_size(table) - 1
        if old == side:
            return table
        if old**2 != len(table):
            raise ValueError(f'{name} has {len(table)} rows; a square window w has (2 w - 1)^2')
        grid = table.T.unflatten(1, (old, old))[None]
        return F.interpolate(grid, (side, side), mode='bicubic')[0].flatten(1).T.contiguous()

    return {k: resize(k, v) if k.endswith('relative_position_bias_table') else v for k, v in state.items()}


def differences(state: State, ours: State, may_lack: str = '$', whole: bool = True) -> list[str]:
    """What keeps ``state`` from being loaded where ``ours`` is, a line each; none if it fits.

    Args:
        may_lack: pattern of the names that ``state`` need not have.
        whole: False: only what both have must have one shape.
    """
    wrong = [f'{k} is missing' for k in ours if whole and k not in state and not re.match(may_lack, k)]
    wrong += [f'{k} is not in the model' for k in state if whole and k not in ours]
    return wrong + [
        f'{k} is {tuple(state[k].shape)}, the model has {tuple(ours[k].shape)}'
        for k in ours
        if k in state and state[k].shape != ours[k].shape
    ]


# Names


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Of names and values: the same for models that compute the same, whatever file they came from."""
    digest = sha256()
    for name, value in state.items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _attention_of(names: Iterable[str], prefix: str) -> list[Rule]:
    for mark, rules in _ATTENTIONS.items():
        if any(re.match(prefix + re.escape(mark), name) for name in names):
            return rules
    return []  # every name at its place is then reported as unexplained


def _attention_of_ours(state: State) -> list[Rule]:
    names = [name for name in state if name.startswith('neck.attention.')]
    for rules in _ATTENTIONS.values():
        patterns = [rule.prefixed('', 'neck.attention.{i}.').reversed().pattern() for rule in rules]
        if all(any(pattern.fullmatch(name) for pattern in patterns) for name in names):
            return rules
    return []


def _todays_name(name: str) -> str:
    """BERT's files of 2018 name a layer norm's weight and bias gamma and beta."""
    return re.sub('LayerNorm.gamma$', 'LayerNorm.weight', re.sub('LayerNorm.beta$', 'LayerNorm.bias', name))


_HEADS = r'(head|decode_head|auxiliary_head|classifier|decoder|data_preprocessor)\.'


def _body(state: State, prefixes: tuple[str, ...]) -> State:
    """The backbone in the state of a whole model; its heads are left out, and other names kept as they are."""
    for prefix in prefixes:
        if any(name.startswith(prefix) for name in state):
            body = {k: v for k, v in state.items() if not re.match(_HEADS, k)}
            # other names stay, to be found out as unexplained
            return {k.removeprefix(prefix) if k.removeprefix(prefix) not in body else k: v for k, v in body.items()}
    return state


# Values


def _merging_to_ours(x: Tensor) -> Tensor:
    """Patch merging: pixels (0,0), (1,0), (0,1), (1,1) of a channel block each -> unfold's channel-major order."""
    return x.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :].transpose(-1, -2).flatten(-2).contiguous()


def _merging_to_theirs(x: Tensor) -> Tensor:
    return x.unflatten(-1, (-1, 4)).transpose(-1, -2)[..., [0, 2, 1, 3], :].flatten(-2).contiguous()


_MERGING = (_merging_to_ours, _merging_to_theirs)


def _window_size(table: Tensor) -> int:
    return (round(len(table) ** 0.5) + 1) // 2


def _relative_position_index(window: int) -> Tensor:
    """(N, N), N = window^2: the row of the table for each pair of pixels."""
    y, x = torch.arange(window**2) // window, torch.arange(window**2) % window
    dy, dx = y[:, None] - y + window - 1, x[:, None] - x + window - 1
    return dy * (2 * window - 1) + dx


def _join_qkv(state: State) -> State:
    """Hugging Face keeps query, key and value apart; everybody else has them in one matrix."""
    state = dict(state)
    for name in [name for name in state if '.attention.self.query.' in name]:
        parts = [name.replace('query', part) for part in ('query', 'key', 'value')]
        if all(part in state for part in parts):
            state[name.replace('query', 'qkv')] = torch.cat([state.pop(part) for part in parts])
    return state


# The tables

_FOLLOWS_FROM_WINDOW = r'.*(relative_position_index|attn_mask)$'
_UNUSED_TEXT = r'(.*position_ids|(bert\.|roberta\.)?pooler\..*|logit_scale)$'

_SWIN = [
    Rule('patch_embed.proj.{p}', 'patch_embed.projection.{p}'),
    Rule('patch_embed.norm.{p}', 'patch_embed.norm.{p}'),
    Rule('layers.{i}.blocks.{j}.norm{k}.{p}', 'stages.{i}.blocks.{j}.norm{k}.{p}'),
    Rule('layers.{i}.blocks.{j}.attn.qkv.{p}', 'stages.{i}.blocks.{j}.attn.w_msa.qkv.{p}'),
    Rule('layers.{i}.blocks.{j}.attn.proj.{p}', 'stages.{i}.blocks.{j}.attn.w_msa.proj.{p}'),
    Rule(
        'layers.{i}.blocks.{j}.attn.relative_position_bias_table',
        'stages.{i}.blocks.{j}.attn.w_msa.relative_position_bias_table',
    ),
    Rule('layers.{i}.blocks.{j}.mlp.fc1.{p}', 'stages.{i}.blocks.{j}.ffn.layers.0.0.{p}'),
    Rule('layers.{i}.blocks.{j}.mlp.fc2.{p}', 'stages.{i}.blocks.{j}.ffn.layers.1.{p}'),
    Rule('layers.{i}.downsample.norm.{p}', 'stages.{i}.downsample.norm.{p}', _MERGING),
    Rule('layers.{i}.downsample.reduction.{p}', 'stages.{i}.downsample.reduction.{p}', _MERGING),
    Rule('norm{i}.{p}', 'norm{i}.{p}'),
]

_SWIN_OPENMMLAB = [Rule(rule.ours, rule.ours) for rule in _SWIN]

_SWIN_HUGGING_FACE = [
    Rule('embeddings.patch_embeddings.projection.{p}', 'patch_embed.projection.{p}'),
    Rule('embeddings.norm.{p}', 'patch_embed.norm.{p}'),
    *(
        rule.prefixed('encoder.layers.{i}.blocks.{j}.', 'stages.{i}.blocks.{j}.')
        for rule in (
            Rule('layernorm_before.{p}', 'norm1.{p}'),
            Rule('attention.self.qkv.{p}', 'attn.w_msa.qkv.{p}'),
            Rule('attention.self.relative_position_bias_table', 'attn.w_msa.relative_position_bias_table'),
            Rule('attention.output.dense.{p}', 'attn.w_msa.proj.{p}'),
            Rule('layernorm_after.{p}', 'norm2.{p}'),
            Rule('intermediate.dense.{p}', 'ffn.layers.0.0.{p}'),
            Rule('output.dense.{p}', 'ffn.layers.1.{p}'),
        )
    ),
    Rule('encoder.layers.{i}.downsample.norm.{p}', 'stages.{i}.downsample.norm.{p}', _MERGING),
    Rule('encoder.layers.{i}.downsample.reduction.{p}', 'stages.{i}.downsample.reduction.{p}', _MERGING),
    *(Rule(f'hidden_states_norms.stage{i + 1}.{{p}}', f'norm{i}.{{p}}') for i in range(4)),
]

_VIT = [
    Rule('cls_token', 'cls_token'),
    Rule('pos_embed', 'pos_embed'),
    Rule('pre_norm.{p}', 'pre_norm.{p}'),
    *(Rule(f'patch_embed.{name}.{{p}}', 'patch_embed.projection.{p}') for name in ('proj', 'projection')),
    *(
        rule
        for timm, ours in (
            ('norm{k}.{p}', 'ln{k}.{p}'),
            ('attn.qkv.{p}', 'attn.qkv.{p}'),
            ('attn.proj.{p}', 'attn.proj.{p}'),
            ('mlp.fc1.{p}', 'ffn.layers.0.0.{p}'),
            ('mlp.fc2.{p}', 'ffn.layers.1.{p}'),
        )
        for rule in (
            Rule(f'blocks.{{i}}.{timm}', f'layers.{{i}}.{ours}'),
            Rule(f'layers.{{i}}.{ours}', f'layers.{{i}}.{ours}'),
        )
    ),
]

_CONVOLUTIONAL = [
    Rule(name, name)
    for name in (
        *('conv1.{p}', 'bn1.{n}', 'stem.{i}.{n}', 'out_norms.{i}.{p}', 'position_map'),
        *('layer{i}.{j}.conv{k}.{p}', 'layer{i}.{j}.bn{k}.{n}', 'layer{i}.{j}.downsample.{k}.{n}'),
        *('downsample_layers.{i}.{j}.{p}', 'stages.{i}.{j}.gamma', 'norm{i}.{p}'),
        *(f'stages.{{i}}.{{j}}.{part}.{{p}}' for part in ('depthwise_conv', 'norm')),
        *(f'stages.{{i}}.{{j}}.pointwise_conv{n}.{{p}}' for n in (1, 2)),
    )
]

_BERT = [
    Rule(name, f'model.{name}')
    for name in (
        *(f'embeddings.{part}_embeddings.{{p}}' for part in ('word', 'position', 'token_type')),
        'embeddings.LayerNorm.{p}',
        *(f'encoder.layer.{{i}}.attention.self.{part}.{{p}}' for part in ('query', 'key', 'value')),
        'encoder.layer.{i}.attention.output.dense.{p}',
        'encoder.layer.{i}.attention.output.LayerNorm.{p}',
        'encoder.layer.{i}.intermediate.dense.{p}',
        'encoder.layer.{i}.output.dense.{p}',
        'encoder.layer.{i}.output.LayerNorm.{p}',
    )
]

_CLIP = [
    Rule(name, f'model.{name}')
    for name in (
        *(f'text_model.embeddings.{part}_embedding.{{p}}' for part in ('token', 'position')),
        *(f'text_model.encoder.layers.{{i}}.self_attn.{part}_proj.{{p}}' for part in ('q', 'k', 'v', 'out')),
        'text_model.encoder.layers.{i}.layer_norm{j}.{p}',
        'text_model.encoder.layers.{i}.mlp.fc{j}.{p}',
        'text_model.final_layer_norm.{p}',
    )
]

# What LAVT and the rivals of Table 6 have in the place of G, by a name that only it has
_ATTENTIONS = {
    'vis_project.': [
        Rule('vis_project.0.{p}', 'visual.{p}', CONV1D_AS_CONV2D),
        Rule('image_lang_att.f_query.0.{p}', 'query.{p}', CONV1D_AS_CONV2D),
        Rule('image_lang_att.f_key.0.{p}', 'key.{p}', CONV1D_AS_LINEAR),
        Rule('image_lang_att.f_value.0.{p}', 'value.{p}', CONV1D_AS_LINEAR),
        Rule('image_lang_att.W.0.{p}', 'output.{p}', CONV1D_AS_CONV2D),
        Rule('project_mm.0.{p}', 'project.{p}', CONV1D_AS_CONV2D),
    ],
    'lang_project.': [  # CoAttention
        Rule('project.0.{p}', 'pixel_sentence.{p}', CONV1D_AS_LINEAR),
        Rule('lang_project.0.{p}', 'word.{p}', CONV1D_AS_LINEAR),
        Rule('image_lang_att.f_query.0.{p}', 'query.{p}', CONV1D_AS_LINEAR),
        Rule('image_lang_att.f_key.0.{p}', 'key.{p}', CONV1D_AS_LINEAR),
        Rule('image_lang_att.W.0.{p}', 'output.{p}'),
    ],
    'lang_reduce.': [  # BidirectionalAttention
        Rule('lang_reduce.{p}', 'word.{p}'),
        Rule('vis_1.0.{p}', 'pixel_query.{p}'),
        Rule('vis_2.0.{p}', 'pixel_key.{p}'),
        Rule('vis_3.0.{p}', 'pixel_value.{p}'),
        Rule('vis_4.0.{p}', 'shortcut.{p}'),
        Rule('out_1.{p}', 'score_heard.{p}'),
        Rule('vis_2_2.{p}', 'score_seen.{p}'),
        Rule('a_proj.{p}', 'score.{p}'),
        Rule('out3_proj.0.{p}', 'output.{p}'),
    ],
    'lang_gen.': [  # CollectDiffuseAttention
        Rule('lang_gen.project.{j}.{p}', 'sentence.{j}.{p}'),
        Rule('mm_gen.0.{p}', 'join.{p}'),
        Rule('query.{p}', 'query.{p}'),
        Rule('key_c.{p}', 'collect.{p}'),
        Rule('key_d.{p}', 'diffuse.{p}'),
        Rule('value.{p}', 'value.{p}'),
    ],
}

_BESIDE_ATTENTION = [
    *(rule.prefixed('backbone.', 'encoder.') for rule in _SWIN),
    Rule('backbone.layers.{i}.res_gate.{j}.{p}', 'neck.weigh.{i}.gate.{j}.{p}', LINEAR_AS_CONV2D),
    *(
        Rule(f'classifier.{part}{n}_{4 - block}.{{n}}', f'decode_head.blocks.{block}.{n - 1}.{part}.{{n}}')
        for block in range(3)
        for n in (1, 2)
        for part in ('conv', 'bn')
    ),
    Rule('classifier.conv1_1.{p}', 'decode_head.classify.{p}'),
    *(rule.prefixed('text_encoder.', 'text_encoder.') for rule in _BERT),
]


def _lavt_rules(attention: list[Rule]) -> list[Rule]:
    inside = [rule.prefixed('backbone.layers.{i}.fusion.', 'neck.attention.{i}.') for rule in attention]
    return [*_BESIDE_ATTENTION, *inside]
