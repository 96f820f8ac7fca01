# The choice of encoders: Swin-L.
_base_ = '../mgfe_ris/mgfe-ris_swin-large_refcoco.py'
