# LAVT's own ablation: batch norm in the attention.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(attention=dict(norm='BN')),
)
published = dict(_delete_=True)  # the paper has no such row
