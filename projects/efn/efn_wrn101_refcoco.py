_base_ = ['./_base_/wrn101.py', 'mgfe_ris::_base_/datasets/refcoco.py', './_base_/schedule.py']

resize = dict(type='Resize', scale=(320, 320), keep_ratio=False, interpolation='area')
pack = dict(type='PackSegInputs', meta_keys=_base_.meta_keys)
train_pipeline = [dict(type='LoadPhoto'), dict(type='LoadReferringMask'), resize, dict(type='PickSentence'), pack]
test_pipeline = [
    dict(type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), resize]),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    pack,
]
train_dataloader = dict(batch_size=8, dataset=dict(per_sentence=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(score_at='photo', pipeline=test_pipeline))
test_dataloader = val_dataloader
test_evaluator = dict(
    protocols=dict(
        own=dict(grown=True),  # as EFN's authors score
        common_photo=dict(threshold=0.5),
        common_480=dict(size=(480, 480), threshold=0.5),  # as the tables that LAVT stands in
    )
)
