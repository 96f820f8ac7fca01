"""The seam between vision and language: what happens at the slot after each stage of the visual encoder."""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any

import torch
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import Module

from ...structures import Text

Fuse = Callable[[int, Tensor], tuple[Tensor, Tensor]]
"""``fuse(i, v) -> (out, feedback)``, all (B, C_i, H_i, W_i): ``out`` goes to the decoder, ``feedback`` is added
to ``v`` on its way into stage i + 1. A ``v`` of one photo for B sentences grows to B there."""


@MODELS.register_module()
class MGFENeck(BaseModule):
    """Per stage: ``attention`` (V, words -> G), ``refine`` (G, words -> G'), ``weigh`` (G, G' -> F).

    LAVT is this neck with ``refine=None`` and ``weigh=dict(type='LanguageGate')``. Without ``weigh``,
    F = G + G'. In the config of a part, a list or tuple gives one value per stage, anything else the same
    value to all: ``refine=dict(type='MGFE', pool_size=(8, 4, 2, 1))``.

    Args:
        channels: C_i of the encoder's stages.
        text_channels: width D of the words.
        attention: config of the part that brings language to pixels.
        refine: config of the part at MGFE's place, or None.
        weigh: config of the part at DW's place, or None.
        decoder_reads: what the decoder gets, before the encoder normalises it: ``'V+F'`` (the paper's F'),
            ``'F'``, ``'G'`` (LAVT), or ``'V'``, as it is before language comes to it.
        feedback: whether F goes on into the next stage. If not, the encoder sees no language.

    Raises:
        ValueError: unknown ``decoder_reads``; a per-stage list of another length than ``channels``; no ``refine`` where
            ``weigh`` needs it, which is any part whose ``forward(g, refined)`` has no default for G'; parts whose
            result nothing would read, because there is no feedback and the decoder reads something else.
    """

    def __init__(
        self,
        channels: Sequence[int],
        text_channels: int,
        attention: dict,
        refine: dict | None = None,
        weigh: dict | None = None,
        decoder_reads: str = 'V+F',
        feedback: bool = True,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if decoder_reads not in ('V+F', 'F', 'G', 'V'):
            raise ValueError(f"decoder_reads must be 'V+F', 'F', 'G' or 'V'; got {decoder_reads!r}")
        if not feedback and (decoder_reads == 'V' or (decoder_reads == 'G' and (refine or weigh))):
            raise ValueError(
                f'without feedback, and with a decoder that reads {decoder_reads}, nothing reads F: '
                "set decoder_reads to 'V+F' or 'F', or to 'G' without refine and weigh"
            )
        self.decoder_reads = decoder_reads
        self.feedback = feedback
        self.attention = _per_stage(attention, channels, text_channels=text_channels)
        self.refine = _per_stage(refine, channels) if refine else None
        self.weigh = _per_stage(weigh, channels) if weigh else None
        if self.weigh is not None and self.refine is None and _needs_refined(self.weigh[0]):
            raise ValueError(
                f"{type(self.weigh[0]).__name__} weighs G and G': name a refine part, or weigh with LanguageGate"
            )
        # after the last stage F goes nowhere but to the decoder, so these weights would never see a gradient
        unread = {'G': (self.refine, self.weigh), 'V': (self.attention, self.refine, self.weigh)}
        for parts in filter(None, unread.get(decoder_reads, ())):
            parts[-1].requires_grad_(False)

    def bind(self, text: Text) -> Fuse:
        """The slot's function for one batch of sentences."""
        return partial(self.forward, words=text.words, mask=text.mask)

    def forward(self, stage: int, v: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """v (B, C_i, H_i, W_i) -> what the decoder reads and F, both of v's shape; 0 for F without feedback."""
        g = self.attention[stage](v, words, mask)
        refined = self.refine[stage](g, words, mask) if self.refine is not None else None
        if self.weigh is not None:
            f = self.weigh[stage](g, refined)
        else:
            f = g if refined is None else g + refined
        out = {'V+F': v + f, 'F': f, 'G': g, 'V': v.expand_as(g)}[self.decoder_reads]
        return out, f if self.feedback else torch.zeros_like(v)


def _needs_refined(weigh: Module) -> bool:
    _, refined, *_ = signature(weigh.forward).parameters.values()
    return refined.default is Parameter.empty


def _per_stage(cfg: dict, channels: Sequence[int], **shared: Any) -> ModuleList:
    stages = len(channels)
    for key, value in cfg.items():
        if isinstance(value, (list, tuple)) and len(value) != stages:
            raise ValueError(f'{cfg["type"]}.{key}: expected {stages} values, one per stage; got {value}')
    return ModuleList(
        MODELS.build(
            {
                'channels': channels[i],
                **shared,
                **{k: v[i] if isinstance(v, (list, tuple)) else v for k, v in cfg.items()},
            }
        )
        for i in range(stages)
    )
