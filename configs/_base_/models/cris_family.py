# What CRIS and the systems built on it share: CLIP's pixels and words, one channel of logits, 0.35
_base_ = ['./clip_weights.py', '../default_runtime.py']

model = dict(
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(122.7709, 116.7460, 104.0937),
        std=(68.5005, 66.6322, 70.3232),
        tokenizer=dict(keep_end=True, pad_id=0),
    ),
    text_encoder=dict(type='CLIPTextTower'),
    loss=dict(type='BinaryCrossEntropy'),
    mask=dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True),
)
