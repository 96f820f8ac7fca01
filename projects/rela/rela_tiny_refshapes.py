# ReLA in small
_base_ = [
    './_base_/tiny.py',
    'mgfe_ris::_base_/datasets/refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]
