_base_ = ['./_base_/rn50.py', 'mgfe_ris::_base_/datasets/letterbox_gref-google.py', './_base_/schedule.py']

model = dict(data_preprocessor=dict(tokenizer=dict(max_tokens=22)))
