_base_ = ['./_base_/rn101.py', './_base_/refcoco.py', './_base_/schedule.py']
