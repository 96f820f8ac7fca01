# What all sizes of MagNet share
_base_ = 'mgfe_ris::_base_/default_runtime.py'
custom_imports = dict(imports=['mgfe_ris', 'magnet', 'magnet_losses'])

model = dict(
    type='MagNet',
    data_preprocessor=dict(
        type='ReferringDataPreProcessor', mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
    ),
    text_encoder=dict(type='HFTextEncoder'),
    loss=dict(type='MagNetMaskLoss'),  # the authors released none
    mask=dict(align_corners=True),
)
