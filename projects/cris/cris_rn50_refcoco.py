_base_ = ['mgfe_ris::_base_/datasets/refcoco.py', 'mgfe_ris::_base_/default_runtime.py']

custom_imports = dict(imports=['mgfe_ris', 'cris'])

clip = 'https://openaipublic.azureedge.net/clip/models/'
weights = clip + 'afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt'
model = dict(
    type='CRIS',
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(122.7709, 116.7460, 104.0937),
        std=(68.5005, 66.6322, 70.3232),
        tokenizer=dict(pretrained='openai/clip-vit-base-patch16', max_tokens=17, keep_end=True, pad_id=0),
    ),
    encoder=dict(
        type='CLIPResNetEncoder',
        depths=(3, 4, 6, 3),
        attention_pool=dict(out_channels=1024),
        norm_outs=False,
        init_cfg=dict(type='Pretrained', checkpoint=weights),
    ),
    text_encoder=dict(
        type='CLIPTextTower', sentence_channels=1024, init_cfg=dict(type='Pretrained', checkpoint=weights)
    ),
    neck_channels=(256, 512, 1024),
    decoder=dict(layers=3, heads=8, hidden=2048, dropout=0.1),
    loss=dict(type='BinaryCrossEntropy'),
    mask=dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True),
)

meta_keys = (*_base_.meta_keys, 'to_input')
letterbox = dict(type='Letterbox', scale=(416, 416))
train_dataloader = dict(
    batch_size=8,  # on each of 8 GPUs
    dataset=dict(
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='LoadReferringMask'),
            letterbox,
            dict(type='PickSentence'),
            dict(type='PackReferringInputs', meta_keys=meta_keys),
        ]
    ),
)
val_dataloader = dict(
    dataset=dict(
        score_at='photo',
        pipeline=[
            dict(type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), letterbox]),
            dict(type='LoadReferringMask'),
            dict(type='PickSentence'),
            dict(type='PackReferringInputs', meta_keys=meta_keys),
        ],
    )
)
test_dataloader = val_dataloader

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-4),
    # CLIP at a tenth of the rate, its tables of positions aside; the longest key that fits counts
    paramwise_cfg=dict(
        custom_keys={
            'encoder.': dict(lr_mult=0.1),
            'encoder.attnpool.positional_embedding': dict(lr_mult=1.0),
            'text_encoder.positional_embedding': dict(lr_mult=1.0),
        }
    ),
)
param_scheduler = dict(type='MultiStepLR', milestones=[35], gamma=0.1, by_epoch=True)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=64)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
find_unused_parameters = False
