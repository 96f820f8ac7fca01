_base_ = ['mgfe_ris::mgfe_ris/mgfe-ris_tiny_refshapes.py']

custom_imports = dict(imports=['mgfe_ris', 'film_neck'])

model = dict(
    text_encoder=dict(sentence='mean'),
    neck=dict(_delete_=True, type='FiLMNeck', channels=_base_.channels, text_channels=_base_.words),
)
