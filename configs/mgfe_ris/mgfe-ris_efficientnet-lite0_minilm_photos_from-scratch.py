# What pretraining is worth: the same architecture, its words and pictures learned from the photos alone
_base_ = './mgfe-ris_efficientnet-lite0_minilm_photos.py'

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained=None)),
    text_encoder=dict(pretrained=None, config=dict(vocab_size=420), trainable_layers=None),
    encoder=dict(init_cfg=None, frozen_stages=0, norm_eval=False),
)
# a transformer from scratch at the convolutions' rate now and then falls silent: the model goes blind to language
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'encoder.stem': dict(lr_mult=1.0),
            'encoder.blocks': dict(lr_mult=1.0),
            'text_encoder': dict(lr_mult=0.25),
        }
    )
)
