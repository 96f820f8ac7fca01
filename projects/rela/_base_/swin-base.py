# Swin-B with window 12, BERT-base, 100 regions of 256 channels, photos of 480 pixels
_base_ = ['./model.py', 'mgfe_ris::_base_/models/swin-base_bert-base.py']

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='bert-base-uncased')),
    text_encoder=dict(_base_.bert_base, trainable_layers=10),
    encoder=_base_.swin_base,
    neck=dict(channels=(128, 256, 512, 1024), text_channels=768),
    pixel_decoder=dict(channels=256, mask_channels=256, layers=6, heads=8, points=4, hidden=1024),
    head=dict(channels=256, grid=10, layers=9, heads=8, hidden=2048),
)
# with _base_/schedule.py, which counts steps, not epochs
default_hooks = dict(checkpoint=dict(interval=5000, by_epoch=False), logger=dict(log_metric_by_epoch=False))
