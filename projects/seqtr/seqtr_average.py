"""The mean of the weights over training, as SeqTR's authors keep it, and score by it."""

import torch
from mmengine.model import BaseAveragedModel
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class WarmingAverage(BaseAveragedModel):
    """After step k, from 0: d mean + (1 - d) weights, d = min(decay, (k + 1) / (k + 10)); running statistics included.

    Args:
        model: whose weights the mean begins with.
        decay: the largest d.
        device: where the mean is kept; None: where the weights are.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, device: torch.device | None = None):
        super().__init__(model, device=device, update_buffers=True)
        self.decay = decay

    def update_parameters(self, model: nn.Module) -> None:
        """Take the weights after a step in; mmengine's own begins with a copy of those after the first one."""
        now = model.state_dict()
        for name, mean in self.avg_parameters.items():
            if mean.is_floating_point():
                self.avg_func(mean, now[name].to(mean.device), self.steps)
            else:
                mean.copy_(now[name])
        self.steps += 1

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: Tensor) -> None:
        """In place."""
        averaged_param.lerp_(source_param, 1 - min(self.decay, (steps.item() + 1) / (steps.item() + 10)))
