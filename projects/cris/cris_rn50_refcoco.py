_base_ = ['./_base_/rn50.py', 'mgfe_ris::_base_/datasets/letterbox_refcoco.py', './_base_/schedule.py']
