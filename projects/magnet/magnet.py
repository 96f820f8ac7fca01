"""MagNet: Mask Grounding for Referring Image Segmentation (Chng et al., CVPR 2024)."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from magnet_checkpoints import from_magnet, to_magnet
from magnet_decoder import MaskDecoder
from magnet_fusion import ImageFusion, TextFusion
from magnet_losses import Alignment, MaskGrounding
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models import ReferringModel
from mgfe_ris.models.deformable import DeformableEncoder
from mgfe_ris.models.sentence import mean_word


class Seen(NamedTuple):
    """What :meth:`MagNet.read` finds in photo and sentence."""

    logits: Tensor
    """(B, 1, h, w), of the last mask, at stride 4."""
    maps: list[Tensor]
    """(B, C, h_i, w_i) of the pixel decoder, coarsest first."""
    mask_features: Tensor
    """(B, C, h, w)."""
    words: Tensor
    """(B, T, D), after the last fusion."""


@MODELS.register_module()
class MagNet(ReferringModel):
    """Image and text encoder run in step, and read each other after each stage; then a deformable encoder, and a
    decoder with one query.

    Args:
        encoder: config of an image encoder with slots after its stages, ``(image, fuse) -> feats``; Swin in all
            released models.
        text_encoder: config of an ``HFTextEncoder`` that is a BERT.
        words_read: how many of BERT's layers have run when a stage's map is met, for each stage.
        fusion: arguments of :class:`magnet_fusion.ImageFusion`: ``num_heads``, ``dropout``; a list or tuple gives one
            value per stage.
        text_mask: ``'released'`` or ``'meant'``, see :class:`magnet_fusion.TextFusion`.
        pixel_decoder: arguments of :class:`mgfe_ris.models.deformable.DeformableEncoder`.
        mask_decoder: arguments of :class:`magnet_decoder.MaskDecoder`: ``layers``, ``heads``, ``hidden``.
        mask_channels: of the map in which the query's mask is found.
        sentence_channels: into which ``lang_proj`` brings a sentence, for ``alignment``; else nothing reads it.
        grounding: arguments of :class:`magnet_losses.MaskGrounding`, with which some words are hidden in training;
            None: none are.
        alignment: arguments of :class:`magnet_losses.Alignment`; None: no such loss.
        data_preprocessor, loss, mask: see :class:`mgfe_ris.models.ReferringModel`.
        channels_last, compile: as of ``ReferringSegmentor``; training with auxiliary losses is not compiled.

    Raises:
        ValueError: a text encoder that is no BERT; ``words_read`` that does not fit the stages or BERT's layers;
            a tokenizer that trims padding, where padding is read.
    """

    from_official = staticmethod(from_magnet)
    to_official = staticmethod(to_magnet)

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        encoder: dict,
        text_encoder: dict,
        words_read: Sequence[int] = (3, 6, 9, 12),
        fusion: dict | None = None,
        text_mask: str = 'released',
        pixel_decoder: dict | None = None,
        mask_decoder: dict | None = None,
        mask_channels: int = 256,
        sentence_channels: int = 256,
        grounding: dict | None = None,
        alignment: dict | None = None,
        loss: dict | None = None,
        mask: dict | None = None,
        channels_last: bool = False,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, mask=mask, init_cfg=init_cfg)
        self.encoder = MODELS.build(encoder)
        self.text_encoder = MODELS.build(text_encoder)
        self.words_read = tuple(words_read)
        self._check(text_mask)
        widths, words = self.encoder.out_channels, self.text_encoder.out_channels
        self.image_fusion = nn.ModuleList(
            ImageFusion(width, words, **_of_stage(fusion or {}, i)) for i, width in enumerate(widths)
        )
        self.text_fusion = nn.ModuleList(TextFusion(width, words, text_mask) for width in widths)
        self.pixel_decoder = DeformableEncoder(widths[::-1], **(pixel_decoder or {}))
        channels = self.pixel_decoder.channels
        self.mask_features = nn.Conv2d(channels, mask_channels, 1)
        self.mask_decoder = MaskDecoder(channels, mask_channels, levels=len(widths) - 1, **(mask_decoder or {}))
        self.lang_proj = nn.Linear(words, sentence_channels)
        self._build_auxiliary(grounding, alignment)
        self._freeze_unread()
        self.lay_out(channels_last, compile)

    def _check(self, text_mask: str) -> None:
        model, stages = self.text_encoder.model, len(self.encoder.out_channels)
        if model.config.model_type != 'bert':
            raise ValueError(f'MagNet runs BERT layer by layer; text_encoder is a {model.config.model_type}')
        layers = len(model.encoder.layer)
        if len(self.words_read) != stages or not all(a <= b for a, b in pairwise((0, *self.words_read, layers))):
            raise ValueError(
                f'words_read must be {stages} numbers of layers, one per stage, none smaller than the one before, up '
                f'to {layers}; got {self.words_read}'
            )
        if text_mask == 'released' and self.data_preprocessor.tokenizer.trim:
            raise ValueError("MagNet reads padding: set tokenizer.trim=False, or text_mask='meant'")

    def _build_auxiliary(self, grounding: dict | None, alignment: dict | None) -> None:
        words, sentence = self.lang_proj.in_features, self.lang_proj.out_features
        self.grounding: MaskGrounding | None = None
        self.alignment: Alignment | None = None
        if grounding is not None:
            ids = self.text_encoder.vocabulary_size
            self.grounding = MaskGrounding(words, self.mask_features.out_channels, ids, **grounding)
        if alignment is not None:
            if sentence != self.pixel_decoder.channels:
                raise ValueError(
                    f'alignment compares sentences of sentence_channels={sentence} with pixels of '
                    f'pixel_decoder.channels={self.pixel_decoder.channels}: expected the same'
                )
            self.alignment = Alignment(**alignment)

    def _freeze_unread(self) -> None:
        """No gradient for what a released model has and no loss reads: else many GPUs wait for it."""
        unread = [p for name, p in self.encoder.named_parameters() if re.match(r'(norm\d|out_norms\.\d)\.', name)]
        unread += self.image_fusion[-1].gate.parameters()
        if self.grounding is None and self.alignment is None:
            unread += self.text_fusion[-1].parameters()
        if self.alignment is None:
            unread += self.lang_proj.parameters()
        for parameter in unread:
            parameter.requires_grad_(False)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 1, H / 4, W / 4)."""
        return self.read(image, token_ids, word_mask).logits

    def segment_with_losses(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`segment`, of a sentence some words of which may be hidden, and the auxiliary losses."""
        if self.grounding is None and self.alignment is None:
            return super().segment_with_losses(image, token_ids, word_mask, target)
        told, chosen = (token_ids, None) if self.grounding is None else self.grounding.hide(token_ids, word_mask)
        seen = self.read(image, told, word_mask)
        losses: dict[str, Tensor] = {}
        if self.grounding is not None:
            losses['loss_grounding'] = self.grounding(
                seen.words, word_mask, seen.mask_features, target, token_ids, chosen
            )
        if self.alignment is not None:
            sentence = self.lang_proj(mean_word(seen.words, word_mask))
            # at stride 16, where all pairs of pixels are few enough
            losses |= self.alignment(seen.maps[1], sentence, target)
        return seen.logits, losses

    def read(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Seen:
        """Arguments as of :meth:`segment`."""
        feats, words = self.run_towers(image, token_ids, word_mask)
        maps = self.pixel_decoder(feats[::-1])
        features = self.mask_features(maps[-1])
        # one query: its mask is the mask
        return Seen(self.mask_decoder(maps[:-1], features)[-1], maps, features, words)

    def run_towers(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """-> what the decoder reads of each stage, (B, C_i, H_i, W_i), finest first; and words (B, T, D)."""
        bert = self.text_encoder.model
        words = bert.embeddings(input_ids=token_ids)
        hidden = (1 - word_mask.to(words.dtype))[:, None, None].expand(-1, -1, word_mask.shape[1], -1) * -1e4
        steps = list(pairwise((0, *self.words_read)))
        feats = []

        def fuse(i: int, v: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal words
            for layer in bert.encoder.layer[slice(*steps[i])]:
                out = layer(words, hidden)
                words = out[0] if isinstance(out, tuple) else out  # a tuple of one in transformers 4
            fused, feedback = self.image_fusion[i](v, words, word_mask)
            words = self.text_fusion[i](words, v, word_mask)
            feats.append(fused)
            return fused, feedback

        self.encoder(image, fuse)  # what it returns, normalised, is read by nothing
        return feats, words


def _of_stage(cfg: dict, i: int) -> dict:
    return {key: value[i] if isinstance(value, (list, tuple)) else value for key, value in cfg.items()}
