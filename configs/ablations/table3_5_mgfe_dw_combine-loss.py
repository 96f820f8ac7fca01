# Table 3, row 5: everything, the paper's model.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'
