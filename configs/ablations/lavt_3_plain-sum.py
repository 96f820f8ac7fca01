# LAVT's own ablation: F = G, without a gate.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(weigh=None),
)
published = dict(_delete_=True)  # the paper has no such row
