# ReLA in small, from scratch: trains on built-in data within minutes on 2 CPU cores; with a small convolutional
# encoder in the place of Swin
_base_ = ['./model.py', 'mgfe_ris::_base_/models/tiny_encoders.py']

model = dict(
    channels_last=True,
    text_encoder=_base_.tiny_bert,
    encoder=_base_.tiny_resnet,
    neck=dict(channels=(16, 32, 64, 128), text_channels=_base_.words),
    pixel_decoder=dict(channels=64, mask_channels=64, layers=2, heads=2, points=2, hidden=128),
    head=dict(channels=64, grid=8, layers=3, heads=4, hidden=128),
)
