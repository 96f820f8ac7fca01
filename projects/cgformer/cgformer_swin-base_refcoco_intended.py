# Where the official recipe is stuck: the temperature of the groups is learned, and their maps can reach a loss of 0
_base_ = './cgformer_swin-base_refcoco.py'

model = dict(decoder=dict(learned_temperature=True), squash_hits=False)
