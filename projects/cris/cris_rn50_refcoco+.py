_base_ = ['./_base_/rn50.py', './_base_/refcoco+.py', './_base_/schedule.py']
