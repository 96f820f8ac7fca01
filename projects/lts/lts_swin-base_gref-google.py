_base_ = ['./_base_/swin-base.py', 'mgfe_ris::_base_/datasets/gref-google.py']
