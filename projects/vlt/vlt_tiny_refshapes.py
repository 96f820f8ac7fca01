# VLT in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores; with a small convolutional
# encoder in the place of Swin, whose maps have twice the pixels for a photo of that size
_base_ = ['mgfe_ris::_base_/models/late-fusion_tiny.py', 'mgfe_ris::_base_/datasets/refshapes.py']

custom_imports = dict(imports=['mgfe_ris', 'vlt', 'vlt_head'])
model = dict(type='VLT', head=dict(type='VLTHead', side=8, queries=16, heads=4, layers=2))
