# What all sizes of ReLA share
_base_ = 'mgfe_ris::_base_/default_runtime.py'
custom_imports = dict(imports=['mgfe_ris', 'rela'])

model = dict(
    type='ReLA',
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        tokenizer=dict(max_tokens=20),
    ),
    text_encoder=dict(type='HFTextEncoder'),
    neck=dict(  # LAVT's, with gates that begin with zeros
        type='MGFENeck',
        attention=dict(type='PixelWordAttention'),
        weigh=dict(type='LanguageGate', std=0.0),
        decoder_reads='G',
    ),
    loss=dict(type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1)),
    loss_weight=5.0,
    minimap_weight=0.1,
    no_target_weight=0.1,
)
