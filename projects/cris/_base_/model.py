# What all sizes of CRIS share
_base_ = 'mgfe_ris::_base_/models/cris_family.py'

custom_imports = dict(imports=['mgfe_ris', 'cris', 'cris_schedule'])
model = dict(type='CRIS', encoder=dict(type='CLIPResNetEncoder', norm_outs=False))
