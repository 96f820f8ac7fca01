_base_ = './magnet_swin-base_refcoco+.py'

# the paper's auxiliary losses, unverified: no training code was released
model = dict(grounding=dict(share=0.15), alignment=dict(temperature=0.07))
