# LAVT's own ablation: nothing of language goes back into the encoder, the decoder alone sees it.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(weigh=None, feedback=False),
)
published = dict(_delete_=True)  # the paper has no such row
