# The choice of encoders: Swin-S.
_base_ = '../mgfe_ris/mgfe-ris_swin-small_refcoco.py'
