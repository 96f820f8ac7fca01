"""A model whose config comes from anybody is built no larger than the weights that come with it."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_BESIDE = 1 << 22
"""Numbers beside those of the weights, such as tables of positions."""
_PER_TENSOR = 1 << 12
"""Each tensor counts as so many numbers at least: a module takes memory and time, too."""


_MOST = 1 << 29
"""Numbers of a model without weights, which nobody has measured: twice those of our largest one."""


class NoLargerThan(TorchDispatchMode):
    """A context in which no more is allocated than twice what ``state`` holds, and a little.

    Args:
        state: the weights; None: there are none, and the limit is that of any model.

    Raises:
        ValueError: a tensor beyond that, before it is made.
    """

    def __init__(self, state: Mapping[str, Tensor] | None):
        super().__init__()
        self.numbers = None if state is None else sum(value.numel() for value in state.values())
        self.left = _MOST if self.numbers is None else 2 * self.numbers + _BESIDE

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if not any(isinstance(one, Tensor) for one in args):  # made of nothing: by a size, or a range's end
            shape = args[0] if args and isinstance(args[0], (list, tuple)) else ()
            ranges = [one for one in args if isinstance(one, (int, float))]
            self.left -= int(max(math.prod(shape), *ranges, _PER_TENSOR))
        if self.left < 0:
            if self.numbers is None:
                raise ValueError(f'the config describes a model of more than {_MOST:,} numbers')
            raise ValueError(
                f'the config describes a model that is larger than its weights, of {self.numbers:,} numbers: the two '
                'do not belong together'
            )
        return func(*args, **(kwargs or {}))
