# Swin-B with window 12, BERT-base, two tokens of 512 channels, photos of 480 pixels
_base_ = ['./model.py', 'mgfe_ris::_base_/models/swin-base_bert-base.py']

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='bert-base-uncased')),
    text_encoder=_base_.bert_base,
    encoder=_base_.swin_base,
    neck=dict(channels=(128, 256, 512, 1024), text_channels=768, attention=dict(num_heads=8)),
    decoder=dict(
        channels=512,
        tokens=2,
        pixels=(30**2, 60**2, 120**2),
        dropout=0.1,
        learned_temperature=False,
        noise='training',
    ),
)
