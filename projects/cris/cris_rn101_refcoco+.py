_base_ = ['./_base_/rn101.py', 'mgfe_ris::_base_/datasets/letterbox_refcoco+.py', './_base_/schedule.py']
