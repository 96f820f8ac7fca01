# What all sizes of BarLeRIa share
_base_ = 'mgfe_ris::_base_/models/cris_family.py'

custom_imports = dict(imports=['mgfe_ris', 'barleria'])
model = dict(
    type='BarLeRIa',
    encoder=dict(type='CLIPViTEncoder'),
    side=dict(prompt_norm='batch_in_training'),
)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
