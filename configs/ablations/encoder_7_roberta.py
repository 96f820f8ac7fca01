# The choice of encoders: RoBERTa in the place of BERT.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_roberta_refcoco.py'
