"""Names of Mask2Former's parts, in the weights of its heirs, and ours: tables to be prefixed."""

from .renaming import Rule

DEFORMABLE_ENCODER = [  # deformable.DeformableEncoder
    Rule('input_proj.{i}.{j}.{p}', 'input_proj.{i}.{j}.{p}'),
    Rule('transformer.level_embed', 'level_embed'),
    *(
        Rule(f'transformer.encoder.layers.{{i}}.{part}.{{p}}', f'layers.{{i}}.{part}.{{p}}')
        for part in (
            *(f'self_attn.{linear}' for linear in ('sampling_offsets', 'attention_weights')),
            *(f'self_attn.{linear}' for linear in ('value_proj', 'output_proj')),
            *('norm{k}', 'linear{k}'),
        )
    ),
]


def _query_attention(attn: str) -> list[Rule]:
    return [
        Rule(f'{attn}.in_proj_{{p}}', 'attn.in_proj_{p}'),
        Rule(f'{attn}.out_proj.{{p}}', 'attn.out_proj.{p}'),
        Rule('norm.{p}', 'norm.{p}'),
    ]


# masked_attention.QueryAttention and QueryFeedForward
CROSS_ATTENTION, SELF_ATTENTION = _query_attention('multihead_attn'), _query_attention('self_attn')
FEED_FORWARD = [Rule(name, name) for name in ('linear{k}.{p}', 'norm.{p}')]


def perceptron(layers: int) -> list[Rule]:
    """Linear layers with a ReLU after each but the last, which ours counts."""
    return [Rule(f'layers.{k}.{{p}}', f'{2 * k}.{{p}}') for k in range(layers)]
