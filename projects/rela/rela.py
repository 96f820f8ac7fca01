"""ReLA, of GRES: Generalized Referring Expression Segmentation (Liu, Ding and Jiang, CVPR 2023)."""

from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from rela_checkpoints import from_rela, to_rela
from rela_head import RegionHead, Regions
from rela_pixel_decoder import PyramidDecoder
from torch import Tensor, nn

from mgfe_ris.models import ReferringModel
from mgfe_ris.models.fit import check_channels, check_text


@MODELS.register_module()
class ReLA(ReferringModel):
    """LAVT's encoders; Mask2Former's pixel decoder; regions that find several objects, one, or none.

    Args:
        text_encoder, encoder, neck: as of ``ReferringSegmentor``. The official neck is LAVT's, with gates that begin
            with zeros and none after the last stage.
        pixel_decoder: arguments of :class:`rela_pixel_decoder.PyramidDecoder`, ``in_channels`` aside.
        head: arguments of :class:`rela_head.RegionHead`, but for the widths of maps and words.
        loss: of the mask, at the truth's size; and of minimap and no-target head.
        loss_weight: of all losses.
        minimap_weight, no_target_weight: of the two beside the mask's, before ``loss_weight``.
        data_preprocessor, mask: see :class:`mgfe_ris.models.ReferringModel`.
        channels_last: as of ``ReferringSegmentor``. Compiled graphs are not offered.

    Raises:
        ValueError: parts that do not fit one another; a tokenizer that trims padding.
    """

    from_official = staticmethod(from_rela)
    to_official = staticmethod(to_rela)

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        text_encoder: dict,
        encoder: dict,
        neck: dict,
        pixel_decoder: dict | None = None,
        head: dict | None = None,
        loss: dict | None = None,
        loss_weight: float = 5.0,
        minimap_weight: float = 0.1,
        no_target_weight: float = 0.1,
        mask: dict | None = None,
        channels_last: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, mask=mask, init_cfg=init_cfg)
        self.text_encoder = MODELS.build(text_encoder)
        self.encoder = MODELS.build(encoder)
        if (tokenizer := getattr(self.data_preprocessor, 'tokenizer', None)) is not None:
            check_text(tokenizer, self.text_encoder, neck)
            if tokenizer.trim:
                raise ValueError('ReLA reads padding, so that every batch needs the same: set tokenizer.trim=False')
        check_channels(self.encoder, neck, {})
        self.neck = MODELS.build(neck)
        if neck.get('decoder_reads') == 'G' and self.neck.weigh is not None:
            self.neck.weigh[-1] = _NoGate()
        self.pixel_decoder = PyramidDecoder(neck['channels'], **(pixel_decoder or {}))
        finest = self.pixel_decoder.mask_features
        self.head = RegionHead(finest.in_channels, finest.out_channels, neck['text_channels'], **(head or {}))
        self.loss_weight = loss_weight
        self.minimap_weight, self.no_target_weight = minimap_weight, no_target_weight
        self.lay_out(channels_last)

    def find_regions(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Regions:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits at stride 4, the minimap's, and those of no target."""
        text = self.text_encoder(token_ids, word_mask)
        feats = self.encoder(image, fuse=self.neck.bind(text))
        finest, maps = self.pixel_decoder(feats)
        return self.head(finest, maps, text.words)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 2, H / 4, W / 4)."""
        return self.find_regions(image, token_ids, word_mask).logits

    def segment_with_no_target(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`segment`, and by how much no target is likelier than some, (B,)."""
        found = self.find_regions(image, token_ids, word_mask)
        return found.logits, found.no_target[:, 1] - found.no_target[:, 0]

    def segment_with_losses(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at the truth's size, and the losses of minimap and no-target head."""
        found = self.find_regions(image, token_ids, word_mask)
        criterion: Any = self.loss_function
        of_minimap = criterion(found.minimap.transpose(1, 2), minimap_of(target, self.head.grid))
        of_no_target = criterion(found.no_target, 1 - (target == 1).flatten(1).any(1).long())
        return F.interpolate(found.logits, target.shape[-2:], mode='bilinear', align_corners=False), {
            'loss_minimap': self.loss_weight * self.minimap_weight * of_minimap,
            'loss_no_target': self.loss_weight * self.no_target_weight * of_no_target,
        }

    def loss(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The mask's, weighed."""
        return {name: self.loss_weight * loss for name, loss in super().loss(logits, target).items()}


def minimap_of(target: Tensor, grid: int) -> Tensor:
    """Truth (B, H, W) -> (B, grid^2), 1 where all of the four pixels around a cell's middle are the object's."""
    is_object = (target == 1).to(torch.float32)[:, None]
    cells = F.interpolate(is_object, (grid, grid), mode='bilinear', align_corners=False)
    return cells.flatten(1).long()  # cut off, not rounded


class _NoGate(nn.Module):
    """After the last stage, where nothing reads what a gate lets through."""

    def forward(self, g: Tensor, refined: Tensor | None = None) -> Tensor:
        return torch.zeros_like(g)
