# What the decoder reads, outside the paper's tables: LAVT with MGFE's reading. What it gains over control_1 is the
# reading's; what control_3 gains over it is MGFE's.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(decoder_reads='V+F'),
)
published = dict(_delete_=True)  # nobody's
