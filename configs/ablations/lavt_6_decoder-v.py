# LAVT's own ablation: the decoder reads V, into which language came at the stages before.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(decoder_reads='V'),
)
published = dict(_delete_=True)  # the paper has no such row
