"""PyTorch's fully sharded training: each process keeps a part of every weight, its gradient and its moments."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from .strategy import Strategy


class FSDPStrategy(Strategy):
    """``fully_shard`` of torch, which leaves the names of the weights as they are.

    Sharded are the blocks of the encoders, and of whatever else repeats, one by one: a block's weights are whole only
    while it computes. The rest is one more part.

    Args:
        min_params: of a block; smaller ones belong to the rest.
    """

    def __init__(self, min_params: int = 100_000):
        self.min_params = min_params

    def check(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        """Raises a ValueError for what cannot be sharded."""
        super().check(model, optim_wrapper)
        names: dict[int, str] = {}
        for name, value in model.named_parameters(remove_duplicate=False):
            if id(value) in names:
                raise ValueError(f'strategy fsdp: {name} and {names[id(value)]} are one weight; train with ddp')
            if value.dim() == 0:
                raise ValueError(f'strategy fsdp: {name} is a single number, which cannot be sharded; train with ddp')
            names[id(value)] = name

    def start(self, model: nn.Module, optim_wrapper: OptimWrapper) -> nn.Module:
        """Shard a whole model, which is the same in all processes, and the state of its optimiser, in place."""
        for value in model.parameters():
            value.data = value.data.contiguous()  # no channels-last: parts are of whole rows
        before = dict(model.named_parameters())
        mesh = init_device_mesh(get_device(), (torch.distributed.get_world_size(),))
        for block in _blocks(model):
            if sum(value.numel() for value in block.parameters()) >= self.min_params:
                fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        after = dict(model.named_parameters())
        _exchange(optim_wrapper.optimizer, {before[name]: after[name] for name in before})
        return model

    def whole_weights(self, model: Any) -> dict[str, Any]:
        """Of all processes together, on the CPU; each must ask."""
        state = model.state_dict()
        for name, value in state.items():
            state[name] = _whole(value)
        return state

    def whole_optimizer(self, optim_wrapper: OptimWrapper) -> dict[str, Any]:
        """As that of one process; each must ask."""
        state = optim_wrapper.state_dict()
        moments = {i: {key: _whole(value) for key, value in of.items()} for i, of in state['state'].items()}
        return {**state, 'state': moments}

    def before_val(self, model: nn.Module) -> None:
        """Make the weights whole in each process: one has more batches than another, and none waits."""
        for part in sharded_blocks(model):
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()

    def after_val(self, model: nn.Module) -> None:
        """Leave each process its part again."""
        for part in sharded_blocks(model):
            part.set_reshard_after_forward(part is not model, recurse=False)
            part.reshard()


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The members of lists that hold no lists themselves: layers of a text encoder, Swin's blocks, other stages."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    for one in lists:
        if not any(isinstance(inner, nn.ModuleList) for inner in one.modules() if inner is not one):
            yield from one


def sharded_blocks(model: nn.Module) -> Iterator[FSDPModule]:
    """The model itself among them."""
    return (module for module in model.modules() if isinstance(module, FSDPModule))


def _exchange(optimizer: torch.optim.Optimizer, new: dict[Any, Any]) -> None:
    """Give an optimiser these parameters for those that it has, and its moments their shape."""
    for group in optimizer.param_groups:
        group['params'] = [new[value] for value in group['params']]
    for old, moments in list(optimizer.state.items()):
        optimizer.state[new[old]] = {key: _sharded_as(new[old], value) for key, value in moments.items()}
        del optimizer.state[old]


def _sharded_as(parameter: Any, value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or value.shape != parameter.shape or value.dim() == 0:
        return value
    return distribute_tensor(value.contiguous(), parameter.device_mesh, parameter.placements, src_data_rank=None)


def _whole(value: Any) -> Any:
    if isinstance(value, DTensor):
        value = value.full_tensor()
    return value.cpu() if isinstance(value, torch.Tensor) else value
