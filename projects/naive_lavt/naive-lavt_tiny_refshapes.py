_base_ = ['mgfe_ris::lavt/lavt_tiny_refshapes.py']

custom_imports = dict(imports=['mgfe_ris', 'naive_lavt'])

# its encoder is a ResNet, which is mmseg's own already
model = dict(
    channels_last=False,
    text_encoder=dict(config=dict(attn_implementation='eager')),
    decode_head=dict(type='NaiveDecodeHead'),
    neck=dict(
        attention=dict(_delete_=True, type='NaivePixelWordAttention'),
        weigh=dict(_delete_=True, type='NaiveLanguageGate'),
    ),
)
optim_wrapper = dict(optimizer=dict(fused=False))
