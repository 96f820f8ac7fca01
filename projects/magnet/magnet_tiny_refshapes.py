# MagNet in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/models/tiny_encoders.py',
    'mgfe_ris::_base_/datasets/refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

model = dict(
    channels_last=True,
    data_preprocessor=dict(tokenizer=dict(max_tokens=20)),
    encoder=_base_.tiny_resnet,
    text_encoder=dict(_base_.tiny_bert, config=dict(_base_.tiny_bert.config, num_hidden_layers=4)),
    words_read=(1, 2, 3, 4),
    text_mask='meant',
    pixel_decoder=dict(channels=64, layers=1, heads=2, points=2, hidden=128),
    mask_decoder=dict(layers=3, heads=4, hidden=128),
    mask_channels=64,
    sentence_channels=64,
    grounding=dict(mask_id=4, layers=1, heads=4),
    alignment=dict(temperature=0.07),
)
