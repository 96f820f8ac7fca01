_base_ = ['./_base_/rn101.py', 'mgfe_ris::_base_/datasets/letterbox_gref-google.py', './_base_/schedule.py']

model = dict(data_preprocessor=dict(tokenizer=dict(max_tokens=22)))
train_dataloader = dict(batch_size=16)  # on each of 2 GPUs
