# Swin-B, window 12, and BERT-base
_base_ = ['./model.py', 'mgfe_ris::_base_/models/swin-base_bert-base.py']

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='bert-base-uncased', max_tokens=20)),
    encoder=dict(_base_.swin_base, init_cfg=dict(type='Pretrained', checkpoint=_base_.swin_base_1k)),
    text_encoder=_base_.bert_base,
    words_read=(3, 6, 9, 12),
    pixel_decoder=dict(channels=256, layers=4, heads=8, points=4, hidden=1024),
    mask_decoder=dict(layers=9, heads=8, hidden=2048),
)
