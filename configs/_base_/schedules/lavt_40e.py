# The official baseline's parameter groups: only the image encoder's norms and position tables are free of weight decay;
# the decoder's and BERT's norms decay with the rest.
_base_ = './paper_40e.py'
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(decode_head=dict(decay_mult=1.0), text_encoder=dict(decay_mult=1.0)))
)
