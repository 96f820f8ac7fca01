"""FiLM (Perez et al., AAAI 2018) as a neck: one vector for the whole sentence scales and shifts each channel."""

from collections.abc import Sequence
from functools import partial

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.structures import Text


@MODELS.register_module()
class FiLMNeck(BaseModule):
    """F = scale(sentence) * V + shift(sentence) after every stage; the decoder reads V + F.

    Args:
        channels: widths C_i of the encoder's stages.
        text_channels: width of the sentence's vector.
    """

    def __init__(self, channels: Sequence[int], text_channels: int):
        super().__init__()
        self.modulate = nn.ModuleList(nn.Linear(text_channels, 2 * c) for c in channels)

    def bind(self, text: Text):
        """What the text encoder returned -> the function that the encoder calls after stage i."""
        return partial(self.forward, sentence=text.sentence)

    def forward(self, stage: int, v: Tensor, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """v (B, C_i, H_i, W_i) -> what the decoder reads, and what is added to v before the next stage."""
        scale, shift = self.modulate[stage](sentence)[..., None, None].chunk(2, dim=1)
        f = scale * v + shift
        return v + f, f
