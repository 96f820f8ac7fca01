# LTS in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores; with a small convolutional
# encoder in the place of Swin, and dilations for a map of 16 x 16 pixels
_base_ = ['mgfe_ris::_base_/models/late-fusion_tiny.py', 'mgfe_ris::_base_/datasets/refshapes.py']

custom_imports = dict(imports=['mgfe_ris', 'lts'])
model = dict(type='LTS', head=dict(type='LTSHead', rates=(3, 6, 9)))
