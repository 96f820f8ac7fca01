"""LTS: Locate Then Segment (Jing et al., CVPR 2021), as LAVT's authors rebuilt it on Swin and BERT."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from lts_checkpoints import from_lts, to_lts
from mmseg.registry import MODELS
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from mgfe_ris.models.late_fusion import LateFusion, side_by_side
from mgfe_ris.structures import Text


@MODELS.register_module()
class LTS(LateFusion):
    """Swin and BERT; the sentence gates the deepest map, finds its object in the finest, and that map is segmented.

    Arguments as of :class:`mgfe_ris.models.late_fusion.LateFusion`; ``head`` is a :class:`LTSHead`.
    """

    from_official = staticmethod(from_lts)
    to_official = staticmethod(to_lts)


@MODELS.register_module()
class LTSHead(nn.Module):
    """Join the maps from the deepest up; locate: R = sum_c m_c k_c, k = linear(f(sentence)); segment: ASPP([m, R]).

    Args:
        channels: (C2, C3, C4) of the maps, finest first.
        text_channels: of the sentence.
        rates: dilations of the ASPP's three 3x3 convolutions.
        dropout: after the ASPP.
    """

    def __init__(
        self,
        channels: Sequence[int],
        text_channels: int,
        rates: Sequence[int] = (12, 24, 36),
        dropout: float = 0.0,
    ):
        super().__init__()
        c2, c3, c4 = channels
        hidden, joined = c4 // 2, c4 // 2 + c2
        self.sentence = nn.Sequential(
            *(nn.Linear(text_channels, c4), nn.ReLU()),
            nn.Linear(c4, c4),
            *(nn.Linear(c4, c4), nn.LeakyReLU()),
        )
        self.see4, self.see3, self.see2 = _mix(c4, c4), _mix(c3, hidden), _mix(c2, c2)
        self.join4, self.join3 = _mix(c4, hidden), _mix(2 * hidden, hidden)
        self.locate = nn.Linear(c4, joined)
        self.aspp = ASPP(joined + 1, list(rates), hidden // 2)
        self.aspp.project[-1] = nn.Dropout(dropout)  # torchvision's is of 0.5
        self.classify = nn.Conv2d(hidden // 2, 2, 1)

    def forward(self, maps: Sequence[Tensor], text: Text) -> Tensor:
        """maps (B or 1, C_i, h_i, w_i), finest first -> logits (B, 2, 2 h_2, 2 w_2)."""
        x2, x3, x4 = maps
        sentence = self.sentence(text.sentence)
        x = self.see4(x4) * sentence[..., None, None]
        x = side_by_side(self.join4(_stretch(x, x3)), self.see3(x3))
        x = side_by_side(self.join3(_stretch(x, x2)), self.see2(x2))
        response = (x * self.locate(sentence)[..., None, None]).sum(1, keepdim=True)
        logits = self.classify(self.aspp(torch.cat([x, response], dim=1)))
        # corners aligned in the steps before and after this one, but not in it
        return F.interpolate(logits, scale_factor=2, mode='bilinear', align_corners=False)


def _mix(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.LeakyReLU())


def _stretch(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode='bilinear', align_corners=True)
