# The choice of encoders: CLIP's text encoder in the place of BERT.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_clip_refcoco.py'
