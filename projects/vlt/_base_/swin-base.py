# Swin-B, window 12, and BERT-base; 16 queries, for photos of 480 pixels
_base_ = 'mgfe_ris::_base_/models/late-fusion_swin-base.py'

custom_imports = dict(imports=['mgfe_ris', 'vlt', 'vlt_head'])
model = dict(type='VLT', head=dict(type='VLTHead', side=30, queries=16, heads=8, layers=2))
