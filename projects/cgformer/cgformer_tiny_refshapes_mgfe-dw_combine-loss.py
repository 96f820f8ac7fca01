# The paper's MGFE, DW and CombineLoss inside of CGFormer
_base_ = ['./cgformer_tiny_refshapes.py', './_base_/mgfe-dw_combine-loss.py']

model = dict(neck=_base_.mgfe_dw, loss=_base_.combine_loss)
