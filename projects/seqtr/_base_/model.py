# What all sizes of SeqTR share
_base_ = 'mgfe_ris::_base_/default_runtime.py'
custom_imports = dict(imports=['mgfe_ris', 'seqtr', 'seqtr_text', 'seqtr_photo', 'seqtr_average'])

model = dict(
    type='SeqTR',
    data_preprocessor=dict(
        type='PaddedPreProcessor',
        mean=(0.0, 0.0, 0.0),  # 0 to 255, as in the official code: batch norms make up for it
        std=(1.0, 1.0, 1.0),
        tokenizer=dict(max_tokens=15),
    ),
    text_encoder=dict(type='SeqTRTextEncoder'),
    encoder=dict(type='DarkNetEncoder'),
)
