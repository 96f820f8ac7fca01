# Wide ResNet-101-2, words of 512 channels
_base_ = './model.py'

model = dict(
    # the list of words that TF-phrasecut's authors made of the Google split of G-Ref
    data_preprocessor=dict(tokenizer=dict(pretrained='data/vocabulary_Gref.txt')),
    text_encoder=dict(vocabulary_size=12_112, channels=512),
    encoder=dict(
        depths=(3, 4, 23, 3),
        channels=(64, 256, 512, 1024, 2048),
        init_cfg=dict(
            type='Pretrained', checkpoint='https://download.pytorch.org/models/wide_resnet101_2-32ee1156.pth'
        ),
    ),
    decoder=dict(channels=32),
)
# with _base_/schedule.py, which counts steps, not epochs
default_hooks = dict(checkpoint=dict(interval=5000, by_epoch=False), logger=dict(log_metric_by_epoch=False))
