# LAVT's own ablation: a gate that ends in a sigmoid.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(weigh=dict(activation='sigmoid')),
)
published = dict(_delete_=True)  # the paper has no such row
