# Swin-B with window 12 and BERT-base, for configs to take by name: encoder=_base_.swin_base
swin_weights = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
swin_base_1k = swin_weights + 'swin_base_patch4_window12_384_20220317-55b0104a.pth'
swin_base_22k = swin_weights + 'swin_base_patch4_window12_384_22k_20220317-e5c09f74.pth'
swin_base = dict(
    type='SwinEncoder',
    pretrain_img_size=384,
    embed_dims=128,
    depths=(2, 2, 18, 2),
    num_heads=(4, 8, 16, 32),
    window_size=12,
    drop_path_rate=0.3,
    init_cfg=dict(type='Pretrained', checkpoint=swin_base_22k),
)
bert_base = dict(type='HFTextEncoder', pretrained='bert-base-uncased', config=dict(model_type='bert'))
