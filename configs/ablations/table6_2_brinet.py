# Table 6, row 2: LAVT with BRINet's bi-directional attention in the place of its pixel-word attention.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(attention=dict(type='BidirectionalAttention', map_size={{_base_.map_sizes}})),
)
published = {
    '_delete_': True,
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 82.26, 'P@0.7': 72.81, 'P@0.9': 33.31, 'mIoU': 72.42, 'oIoU': 70.19}},
}
