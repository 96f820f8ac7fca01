# LAVT's own ablation: the decoder reads V + F.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(decoder_reads='V+F'),
)
published = dict(_delete_=True)  # the paper has no such row
