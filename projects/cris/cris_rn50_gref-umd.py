_base_ = './cris_rn50_refcoco.py'

model = dict(data_preprocessor=dict(tokenizer=dict(max_tokens=22)))
dataset = dict(ann_folder='refcocog', split_by='umd')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
test_cfg = dict(splits=('val', 'test'))
