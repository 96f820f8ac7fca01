# LAVT's own ablation: the mean of the words in the place of pixel-word attention, the same at every pixel.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(attention=dict(type='PooledSentence')),
)
published = dict(_delete_=True)  # the paper has no such row
