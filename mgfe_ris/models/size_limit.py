"""A model whose config comes from anybody is built no larger than the weights that come with it."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..one_line import one_line

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
        given = [each for one in args for each in (one if isinstance(one, (list, tuple)) else [one])]
        if not any(isinstance(one, Tensor) for one in given):  # made of nothing: by a size, or a range's end
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


_LIMITED: ContextVar[bool] = ContextVar('_LIMITED', default=False)


@contextmanager
def limited_size(filename: str | None, state: Mapping[str, Tensor] | None = None) -> Iterator[None]:
    """A context in which a model may be built of the config in a file. One in JSON may come from anybody: it makes none
    larger than its weights, or, without any, than models are. Inside of another such context that one's limit holds.

    Raises:
        ValueError: see :class:`NoLargerThan`.
    """
    if _LIMITED.get() or not str(filename).endswith('.json'):
        yield
        return
    token = _LIMITED.set(True)
    try:
        with NoLargerThan(state):
            yield
    finally:
        _LIMITED.reset(token)


@contextmanager
def building(filename: str | None) -> Iterator[None]:
    """A context for building the model alone, see :func:`limited_size`.

    Raises:
        ValueError: too large a model; parts that a config in JSON describes, and that cannot be made.
    """
    try:
        with limited_size(filename):
            yield
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ZeroDivisionError) as error:
        if not str(filename).endswith('.json'):  # a fault of a part, or of who wrote the config and its parts
            raise
        said = f'{type(error).__name__}: {one_line(error, 200)}'
        raise ValueError(f'{filename}: no model can be made of it ({said})') from error
