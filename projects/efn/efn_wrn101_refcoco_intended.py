# Where the official code does not do what it means: both sides of the co-attention, rows and columns, and the order of
# the colours that the weights of the encoder were trained with
_base_ = './efn_wrn101_refcoco.py'

model = dict(
    data_preprocessor=dict(bgr_to_rgb=True),
    transposed_attention=False,
    swapped_sides=False,
)
