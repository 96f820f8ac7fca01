"""Normalising flows in the place of a block's residual branch: BarLeRIa's local tuning of CLIP."""

import torch
from torch import Tensor, nn


class BlockFlows(nn.Module):
    """The two flows of one block: x <- attn(x) + attention(norm(x));  x <- mlp(x) + MLP(norm(x)).

    Args:
        width: D, of a token.
        steps: K, see :class:`Flow`.
    """

    def __init__(self, width: int, steps: int):
        super().__init__()
        self.attn, self.mlp = Flow(width, steps), Flow(width, steps)


class Flow(nn.Module):
    """z = mu + exp(logsigma) x, then K planar steps; at first not far from z = x.

    Its log-determinants, with which flows are trained elsewhere, have no part in BarLeRIa's loss.

    Args:
        width: D, of a token.
        steps: K.
    """

    def __init__(self, width: int, steps: int):
        super().__init__()
        self.mu, self.logsigma = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.steps = nn.ModuleList(PlanarStep(width) for _ in range(steps))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        x = self.mu + self.logsigma.exp() * x
        for step in self.steps:
            x = step(x)
        return x


class PlanarStep(nn.Module):
    """z <- z + scale tanh(<w, z> + b): moves a token along one direction (Rezende and Mohamed, ICML 2015)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.empty(1, width)), nn.Parameter(torch.empty(1, width))
        self.bias = nn.Parameter(torch.empty(1))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.01, 0.01)

    def forward(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return z + self.scale * torch.tanh(nn.functional.linear(z, self.weight, self.bias))
