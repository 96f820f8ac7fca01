"""Entity perception and relation-aware reasoning of CMPC (Huang et al., CVPR 2020), as its code has it."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..cache import made_once

HEADS = 5
"""Of MUTAN, the fusion of pixels with the entity."""


@MODELS.register_module()
class EntityRelationGraph(BaseModule):
    """Words of entities and attributes find pixels; words of relations make them the nodes of a graph. For x (HW, C),
    words w (T, D), each of length 1, the eight numbers P of :func:`place_of_pixels`, and u(.), a vector at length 1:

        p = softmax(W_2 ReLU(W_1 w))                                entity, attribute, relation, unnecessary
        q = u(sum_t (p_ent + p_attr) w_t)
        M = u(tanh(sum_{h=1..5} tanh(V_h [x, P]) tanh(U_h q)))      (HW, C)
        B = p_rel (W_m M) (W_w w)^T / sqrt(C)                       (HW, T)
        A = softmax_words(B) softmax_pixels(B)^T                    (HW, HW), which is never made
        M' = u(ReLU(LN(W_r ReLU(M + LN(A M)))))
        G = ReLU(W_g [M, M', q, P])

    LN is over the channels of a pixel; every W, V and U has a bias. It is one level of CMPC, whose exchange between
    levels (TGFE) is not here. CMPC parses once for all levels; here each stage has a parser of its own.

    Args:
        channels: width C of the stage; G has the same.
        text_channels: width D of the words; the parser's hidden width is half of it.
    """

    def __init__(self, channels: int, text_channels: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        hidden = text_channels // 2
        self.parse = nn.Sequential(nn.Linear(text_channels, hidden), nn.ReLU(), nn.Linear(hidden, 4))
        self.mutan_pixels = nn.Linear(channels + 8, HEADS * channels)
        self.mutan_entity = nn.Linear(text_channels, HEADS * channels)
        self.node, self.relation = nn.Linear(channels, channels), nn.Linear(text_channels, channels)
        self.scale = channels**-0.5
        self.update = nn.Linear(channels, channels)
        self.message_norm, self.update_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.output = nn.Linear(2 * channels + text_channels + 8, channels)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """v (B or 1, C, H, W), words (B, T, D), mask (B, T), True = a word -> G (B, C, H, W)."""
        words = F.normalize(words, dim=2)
        entity, attribute, relation, _ = self.parse(words).softmax(2).mul(mask[..., None]).unbind(2)  # (B, T) each
        q = F.normalize((entity + attribute)[:, None] @ words.to(entity.dtype), dim=2)  # (B, 1, D)
        height, width = v.shape[2:]
        places = place_of_pixels(height, width, v.device, v.dtype).expand(v.shape[0], -1, -1)
        pixels = torch.tanh(self.mutan_pixels(torch.cat([v.flatten(2).mT, places], dim=2)))
        joined = (pixels * torch.tanh(self.mutan_entity(q))).unflatten(2, (HEADS, -1)).sum(2)
        m = F.normalize(torch.tanh(joined), dim=2)  # (B, HW, C)
        reasoned = self._reason(m, words, relation, mask)
        every = [one.expand(*m.shape[:2], -1).to(m.dtype) for one in (q, places)]
        return F.relu(self.output(torch.cat([m, reasoned, *every], dim=2))).mT.unflatten(2, (height, width))

    def _reason(self, m: Tensor, words: Tensor, relation: Tensor, mask: Tensor) -> Tensor:
        """M (B, HW, C), words (B, T, D), p_rel and mask (B, T) -> M' (B, HW, C)."""
        b = self.node(m) @ self.relation(words).mT * (relation[:, None] * self.scale)
        # -1e4, not -inf: fp16 holds it, and a row of only padding stays finite
        of_words = (b + (1 - mask.to(b.dtype))[:, None] * -1e4).softmax(2)
        message = of_words.to(m.dtype) @ (b.softmax(1).to(m.dtype).mT @ m)
        updated = F.relu(m + self.message_norm(message))
        return F.normalize(F.relu(self.update_norm(self.update(updated))), dim=2)


@made_once
def place_of_pixels(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(H W, 8): left, top, right, bottom, middle along x, along y, each from -1 to 1 over the map; 1 / W, 1 / H."""
    y, x = (torch.arange(n, dtype=torch.float64).mul(2 / n).sub(1) for n in (height, width))
    top, left = (edges.flatten() for edges in torch.meshgrid(y, x, indexing='ij'))
    one = torch.ones_like(left)
    corners = [left, top, left + 2 / width, top + 2 / height]
    rest = [left + 1 / width, top + 1 / height, one / width, one / height]
    return torch.stack([*corners, *rest], dim=1).to(device, dtype)
