"""The referring segmentor: wires text encoder, visual encoder, neck and decoder (Figure 1 of the paper)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch import Tensor

from ..structures import SegDataSample, resize_logits
from .fit import check_channels, check_text


@MODELS.register_module()
class ReferringSegmentor(BaseModel):
    """Photo + sentence -> two-class logits, the losses, or the mask.

    An mmengine model, not mmseg's ``BaseSegmentor``: that one's ``encode_decode`` and ``postprocess_result`` know
    no sentence, and would have to be overridden whole.

    Args:
        data_preprocessor: config, see :class:`ReferringDataPreProcessor`.
        text_encoder: config of ``(ids, mask) -> words``.
        encoder: config of the visual encoder, ``(image, fuse) -> feats``.
        neck: config of what happens at the encoder's slots; ``neck.bind(words, mask)`` is ``fuse``.
        decode_head: config of ``feats -> logits``.
        loss: config of ``(logits, target) -> scalar or dict of scalars``.
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
        super().__init__(MODELS.build(data_preprocessor), init_cfg)
        self.text_encoder = MODELS.build(text_encoder)
        self.encoder = MODELS.build(encoder)
        if hasattr(self.data_preprocessor, 'tokenizer'):
            check_text(self.data_preprocessor.tokenizer, self.text_encoder, neck)
        check_channels(self.encoder, neck, decode_head)
        self.neck = MODELS.build(neck)
        self.decode_head = MODELS.build(decode_head)
        self.loss_function = MODELS.build(loss)
        if channels_last:
            self.to(memory_format=torch.channels_last)
        if compile is not False:
            # hides the method of the class; with self as an argument, so that a copy of the model runs its own weights
            segment = torch.compile(type(self).segment, **({} if compile is True else compile))
            self.segment = partial(_one_graph_per_size, segment, self)  # type: ignore[method-assign]

    def forward(
        self,
        inputs: Tensor,
        token_ids: Tensor,
        word_mask: Tensor,
        data_samples: Sequence[SegDataSample] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | Sequence[SegDataSample]:
        """What the preprocessor returns -> logits (``tensor``), losses (``loss``) or samples (``predict``).

        Args:
            inputs: (B, 3, H, W) normalised photos, or (1, 3, H, W) where all sentences are about one photo: what comes
                before the first fusion is then computed once.
            token_ids: (B, T).
            word_mask: (B, T), True = a word.
            data_samples: B samples; ``loss`` reads ``gt_sem_seg``, ``predict`` writes ``seg_logits`` (2, H, W)
                at the input's size, and ``pred_sem_seg``, (1, height, width) of ``gt_sem_seg``, if there is one.
            mode: ``tensor``, ``loss`` or ``predict``.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict'; got {mode!r}")
        if mode != 'tensor' and data_samples is None:
            raise ValueError(f'mode {mode!r} needs data_samples')
        logits = self.segment(inputs, token_ids, word_mask)
        if mode == 'tensor' or data_samples is None:
            return logits
        return self.loss(logits, data_samples) if mode == 'loss' else self.predict(logits, data_samples)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 2, H, W)."""
        words = self.text_encoder(token_ids, word_mask)
        feats = self.encoder(image, fuse=self.neck.bind(words, word_mask))
        logits = self.decode_head(feats)
        return F.interpolate(logits, image.shape[-2:], mode='bilinear', align_corners=True)

    def loss(self, logits: Tensor, data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """logits (B, 2, H, W) and the samples' ``gt_sem_seg`` -> named scalars, to be added."""
        target = torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples])
        loss = self.loss_function(logits, target)
        return loss if isinstance(loss, dict) else {'loss': loss}

    def predict(self, logits: Tensor, data_samples: Sequence[SegDataSample]) -> Sequence[SegDataSample]:
        """Write ``seg_logits`` and ``pred_sem_seg`` into the samples.

        The mask has the size of the truth, as metrics that know nothing of logits want it.
        """
        for sample, logit in zip(data_samples, logits, strict=True):
            sample.seg_logits = PixelData(data=logit)
            if 'gt_sem_seg' in sample and sample.gt_sem_seg.shape != logit.shape[-2:]:
                logit = resize_logits(logit, sample.gt_sem_seg.shape)
            sample.pred_sem_seg = PixelData(data=logit.argmax(dim=0, keepdim=True))
        return data_samples


def _one_graph_per_size(segment: Callable[..., Tensor], model: Any, image: Tensor, *words: Tensor) -> Tensor:
    # of sizes that are left open, it takes torch minutes to find out which windows they make
    torch._dynamo.mark_static(image, [2, 3])
    return segment(model, image, *words)
