# The choice of encoders: a DINO ViT-B/16 with a simple pyramid.
_base_ = '../mgfe_ris/mgfe-ris_vit-base-dino_refcoco.py'
