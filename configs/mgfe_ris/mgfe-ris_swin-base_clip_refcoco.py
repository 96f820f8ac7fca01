_base_ = './mgfe-ris_swin-base_refcoco.py'

# The text tower alone; its defaults in transformers are those of ViT-B/32's, words of width 512
model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='openai/clip-vit-base-patch32')),
    text_encoder=dict(
        pretrained='openai/clip-vit-base-patch32', config=dict(_delete_=True, model_type='clip_text_model')
    ),
    neck=dict(text_channels=512),
)
