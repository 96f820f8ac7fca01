# What all sizes of ETRIS share
_base_ = 'mgfe_ris::_base_/models/cris_family.py'

custom_imports = dict(imports=['mgfe_ris', 'etris'])
model = dict(type='ETRIS')
