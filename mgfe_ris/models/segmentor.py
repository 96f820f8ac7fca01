"""The referring segmentor: wires text encoder, visual encoder, neck and decoder (Figure 1 of the paper)."""

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from .base import ReferringModel
from .fit import check_channels, check_text


@MODELS.register_module()
class ReferringSegmentor(ReferringModel):
    """Photo + sentence -> two-class logits, the losses, or the mask.

    Args:
        data_preprocessor, loss: see :class:`ReferringModel`.
        text_encoder: config of ``(ids, mask) -> text``, a :class:`mgfe_ris.structures.Text`.
        encoder: config of the visual encoder, ``(image, fuse) -> feats``.
        neck: config of what happens at the encoder's slots; ``neck.bind(text)`` is ``fuse``.
        decode_head: config of ``feats -> logits``.
        channels_last: lay the weights out so that convolutions run channels-last; what is faster, the device decides.
        compile: True, or the options of ``torch.compile``: :meth:`segment` becomes one graph per size of photos, in
            training and in tests. mmengine's own field of this name compiles training steps, anew for other sentences.

    Raises:
        ValueError: parts that do not fit one another, see :mod:`mgfe_ris.models.fit`.
    """

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        text_encoder: dict,
        encoder: dict,
        neck: dict,
        decode_head: dict,
        loss: dict,
        channels_last: bool = False,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, init_cfg=init_cfg)
        self.text_encoder = MODELS.build(text_encoder)
        self.encoder = MODELS.build(encoder)
        if hasattr(self.data_preprocessor, 'tokenizer'):
            check_text(self.data_preprocessor.tokenizer, self.text_encoder, neck)
        check_channels(self.encoder, neck, decode_head)
        self.neck = MODELS.build(neck)
        self.decode_head = MODELS.build(decode_head)
        self.lay_out(channels_last, compile)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 2, H, W)."""
        text = self.text_encoder(token_ids, word_mask)
        feats = self.encoder(image, fuse=self.neck.bind(text))
        logits = self.decode_head(feats)
        return F.interpolate(logits, image.shape[-2:], mode='bilinear', align_corners=True)
