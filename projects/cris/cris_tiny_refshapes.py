# CRIS in small, from scratch: learns the built-in data set within minutes on 2 CPU cores
_base_ = [
    'mgfe_ris::_base_/datasets/refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
    'mgfe_ris::_base_/default_runtime.py',
]

custom_imports = dict(imports=['mgfe_ris', 'cris'])

model = dict(
    type='CRIS',
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(122.7709, 116.7460, 104.0937),
        std=(68.5005, 66.6322, 70.3232),
        tokenizer=dict(max_tokens=20, keep_end=True, pad_id=0),
    ),
    encoder=dict(
        type='CLIPResNetEncoder',
        depths=(1, 1, 1, 1),
        base_channels=16,
        attention_pool=dict(out_channels=128, grid=2),
        norm_outs=False,
    ),
    text_encoder=dict(
        type='CLIPTextTower', width=128, depth=2, sentence_channels=128, max_tokens=20, vocabulary_size=512
    ),
    neck_channels=(64, 128, 128),
    decoder=dict(layers=2, heads=4, hidden=256, dropout=0.0),
    loss=dict(type='BinaryCrossEntropy'),
    mask=dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True),
)
meta_keys = (*_base_.meta_keys, 'to_input')
letterbox = dict(type='Letterbox', scale=(64, 64))
train_pipeline = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    letterbox,
    dict(type='PickSentence'),
    dict(type='PackReferringInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), letterbox]),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='PackReferringInputs', meta_keys=meta_keys),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(score_at='photo', pipeline=test_pipeline))
test_dataloader = val_dataloader
