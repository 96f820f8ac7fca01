_base_ = './etris_rn50_refcoco.py'

# CLIP's batch norms keep CLIP's statistics; what CLIP does not have, the shortcut of the pool, is trained
model = dict(trained=r'positional_embedding|attnpool\.connect', frozen_statistics=True)
