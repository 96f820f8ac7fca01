# The choice of encoders: Swin-T.
_base_ = '../mgfe_ris/mgfe-ris_swin-tiny_refcoco.py'
