_base_ = ['./_base_/rn50.py', './_base_/gref-umd.py', './_base_/schedule.py']

model = dict(data_preprocessor=dict(tokenizer=dict(max_tokens=22)))
