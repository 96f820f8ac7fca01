# What all sizes of EFN share
_base_ = 'mgfe_ris::_base_/default_runtime.py'
custom_imports = dict(imports=['mgfe_ris', 'efn', 'efn_encoder', 'efn_text'])

model = dict(
    type='EFN',
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(0.0, 0.0, 0.0),  # a batch norm of the photo is part of the model
        std=(1.0, 1.0, 1.0),
        bgr_to_rgb=False,
        tokenizer=dict(max_tokens=20, trim=True),
    ),
    text_encoder=dict(type='EFNTextEncoder'),
    encoder=dict(type='WideResNet'),
    transposed_attention=True,
    swapped_sides=True,
    loss=dict(type='BinaryCrossEntropy'),
)
