# DarkNet-53, of which the last two layers are trained; outlines of 18 points
_base_ = './model.py'

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'seqtr_jitter'])
model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='data/words.txt')),  # see README.md
    text_encoder=dict(vocabulary_size=9000, table_channels=300, channels=512, frozen_table=True),
    encoder=dict(widths=(32, 64, 128, 256, 512, 1024), depths=(1, 2, 8, 8, 4), frozen=12),
    points=18,
    bins=1000,
    transformer=dict(channels=256, heads=8, hidden=1024, encoder_layers=6, decoder_layers=3, dropout=0.1),
)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', ema_type='WarmingAverage', decay=0.999)]
