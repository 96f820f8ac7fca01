# Swin-B, window 12, and BERT-base
_base_ = 'mgfe_ris::_base_/models/late-fusion_swin-base.py'

custom_imports = dict(imports=['mgfe_ris', 'lts'])
model = dict(type='LTS', head=dict(type='LTSHead', rates=(12, 24, 36)))
