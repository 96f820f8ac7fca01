_base_ = './barleria_vit-b16_refcoco+.py'

# The best epoch is chosen on val
val_dataloader = dict(dataset=dict(split='val'))
