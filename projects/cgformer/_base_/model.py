# What all sizes of CGFormer share
_base_ = 'mgfe_ris::_base_/default_runtime.py'
custom_imports = dict(imports=['mgfe_ris', 'cgformer', 'cgformer_losses'])

model = dict(
    type='CGFormer',
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        tokenizer=dict(max_tokens=20),
    ),
    text_encoder=dict(type='HFTextEncoder'),
    neck=dict(  # LAVT's
        type='MGFENeck',
        attention=dict(type='PixelWordAttention'),
        weigh=dict(type='LanguageGate'),
        decoder_reads='G',
    ),
    hit_weights=(0.001, 0.01, 0.1),
    loss=dict(type='DiceCrossEntropy'),
    mask=dict(threshold=0.5, of='scores', resize='bicubic', align_corners=True),
)
