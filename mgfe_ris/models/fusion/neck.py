"""The seam between vision and language: what happens at the slot after each stage of the visual encoder."""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any

from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import Module

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
            ``'F'``, or ``'G'`` (LAVT).

    Raises:
        ValueError: unknown ``decoder_reads``; a per-stage list of another length than ``channels``; no ``refine`` where
            ``weigh`` needs it, which is any part whose ``forward(g, refined)`` has no default for G'.
    """

    def __init__(
        self,
        channels: Sequence[int],
        text_channels: int,
        attention: dict,
        refine: dict | None = None,
        weigh: dict | None = None,
        decoder_reads: str = 'V+F',
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if decoder_reads not in ('V+F', 'F', 'G'):
            raise ValueError(f"decoder_reads must be 'V+F', 'F' or 'G'; got {decoder_reads!r}")
        self.decoder_reads = decoder_reads
        self.attention = _per_stage(attention, channels, text_channels=text_channels)
        self.refine = _per_stage(refine, channels) if refine else None
        self.weigh = _per_stage(weigh, channels) if weigh else None
        if self.weigh is not None and self.refine is None and _needs_refined(self.weigh[0]):
            raise ValueError(
                f"{type(self.weigh[0]).__name__} weighs G and G': name a refine part, or weigh with LanguageGate"
            )
        if decoder_reads == 'G':
            # behind the last stage F goes nowhere, so these weights would never see a gradient
            for parts in filter(None, (self.refine, self.weigh)):
                parts[-1].requires_grad_(False)

    def bind(self, words: Tensor, mask: Tensor) -> Fuse:
        """The slot's function for one batch of sentences: words (B, T, D), mask (B, T), True = a word."""
        return partial(self.forward, words=words, mask=mask)

    def forward(self, stage: int, v: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """v (B, C_i, H_i, W_i) -> what the decoder reads and F, both of v's shape."""
        g = self.attention[stage](v, words, mask)
        refined = self.refine[stage](g, words, mask) if self.refine is not None else None
        if self.weigh is not None:
            f = self.weigh[stage](g, refined)
        else:
            f = g if refined is None else g + refined
        return {'V+F': v + f, 'F': f, 'G': g}[self.decoder_reads], f


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
