# LAVT (Yang et al., CVPR 2022): the language gate in the place of MGFE and DW, and the decoder reads G.
_base_ = './mgfe-ris_tiny.py'

model = dict(
    neck=dict(refine=None, weigh=dict(_delete_=True, type='LanguageGate'), decoder_reads='G'),
    loss=dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1)),
)
