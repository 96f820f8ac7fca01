# What all sizes of BarLeRIa share
_base_ = 'mgfe_ris::_base_/default_runtime.py'

custom_imports = dict(imports=['mgfe_ris', 'barleria'])
model = dict(
    type='BarLeRIa',
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(122.7709, 116.7460, 104.0937),
        std=(68.5005, 66.6322, 70.3232),
        tokenizer=dict(keep_end=True, pad_id=0),
    ),
    encoder=dict(type='CLIPViTEncoder'),
    text_encoder=dict(type='CLIPTextTower'),
    side=dict(prompt_norm='batch_in_training'),
    loss=dict(type='BinaryCrossEntropy'),
    mask=dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True),
)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
