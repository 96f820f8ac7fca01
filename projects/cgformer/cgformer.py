"""CGFormer: Contrastive Grouping with Transformer for Referring Image Segmentation (Tang et al., CVPR 2023)."""

from collections.abc import Sequence

import torch.nn.functional as F
from cgformer_checkpoints import from_cgformer, to_cgformer
from cgformer_decoder import GroupingDecoder, TokenProjector
from cgformer_losses import dice
from mmseg.registry import MODELS
from torch import Tensor

from mgfe_ris.models import ReferringModel
from mgfe_ris.models.fit import check_channels, check_text


@MODELS.register_module()
class CGFormer(ReferringModel):
    """LAVT's encoders; then tokens that group the pixels, one of which reads the sentence and finds its object.

    Args:
        text_encoder, encoder, neck: as of ``ReferringSegmentor``. The official neck is LAVT's.
        decoder: arguments of :class:`cgformer_decoder.GroupingDecoder`, widths of stages and words aside.
        hit_weights: of the dice losses of the three maps of which pixels a token has, strides 16, 8, 4.
        hit_token: which one; the official code says 1, which is the last one where there are two.
        squash_hits: put these maps, which are of zeros and ones, through a sigmoid before the dice, as the official
            code does: it makes 0.5 and 0.73 of them, so that their loss is never small.
        data_preprocessor, loss, mask: see :class:`mgfe_ris.models.ReferringModel`.
        channels_last, compile: as of ``ReferringSegmentor``; what is compiled are tests alone.

    Raises:
        ValueError: parts that do not fit one another.
    """

    from_official = staticmethod(from_cgformer)
    to_official = staticmethod(to_cgformer)

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        text_encoder: dict,
        encoder: dict,
        neck: dict,
        decoder: dict | None = None,
        hit_weights: Sequence[float] = (0.001, 0.01, 0.1),
        hit_token: int = 1,
        squash_hits: bool = True,
        loss: dict | None = None,
        mask: dict | None = None,
        channels_last: bool = False,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, mask=mask, init_cfg=init_cfg)
        if len(hit_weights) != 3:
            raise ValueError(f'hit_weights: expected three, of strides 16, 8, 4; got {hit_weights}')
        self.text_encoder = MODELS.build(text_encoder)
        self.encoder = MODELS.build(encoder)
        if hasattr(self.data_preprocessor, 'tokenizer'):
            check_text(self.data_preprocessor.tokenizer, self.text_encoder, neck)
        check_channels(self.encoder, neck, {})
        self.neck = MODELS.build(neck)
        self.decoder = GroupingDecoder(neck['channels'], neck['text_channels'], **(decoder or {}))
        self.projector = TokenProjector(self.decoder.tokens.shape[1])
        if not -len(self.decoder.tokens) <= hit_token < len(self.decoder.tokens):
            raise ValueError(f'hit_token: expected one of {len(self.decoder.tokens)} tokens; got {hit_token}')
        self.hit_weights = tuple(hit_weights)
        self.hit_token = hit_token
        self.squash_hits = squash_hits
        self.lay_out(channels_last, compile)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 1, H, W)."""
        return self.segment_with_hits(image, token_ids, word_mask)[0]

    def segment_with_losses(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`segment`, and the losses of the maps of which pixels a token has."""
        logits, hits = self.segment_with_hits(image, token_ids, word_mask)
        losses = {}
        for step, (weight, hit) in enumerate(zip(self.hit_weights, hits, strict=True), start=1):
            hit = hit[:, self.hit_token, None]
            losses[f'loss_hit{step}'] = weight * dice(hit.sigmoid() if self.squash_hits else hit, target)
        return logits, losses

    def segment_with_hits(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As :meth:`segment`, and the decoder's three maps of which token has which pixel, (B, K, h, w)."""
        text = self.text_encoder(token_ids, word_mask)
        feats = self.encoder(image, fuse=self.neck.bind(text))
        x, tokens, hits = self.decoder(feats, text.words, word_mask)
        logits = self.projector(x, tokens[:, -1])
        # its border of one pixel is shrunk with the rest, as in the official code
        return F.interpolate(logits, image.shape[-2:], mode='bilinear', align_corners=True), hits
