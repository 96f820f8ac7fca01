"""What follows from sizes alone is made once."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec('P')
T = TypeVar('T')


def made_once(function: Callable[P, T]) -> Callable[P, T]:
    """Keep the tensors that a function makes of its arguments, hashable ones, for the last 32 of these.

    Not while ``torch.compile`` or ``torch.export`` traces, or in a ``FakeTensorMode``: there tensors are fake, and must
    not be met again later. A graph makes them itself, most of them as indices inside of the kernels that read them.
    """
    # what is made in inference mode could not be used in training later
    kept = lru_cache(maxsize=32)(torch.inference_mode(False)(function))

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if torch.compiler.is_compiling() or type(torch.empty(0)) is not torch.Tensor:
            return function(*args, **kwargs)
        return kept(*args, **kwargs)  # type: ignore[arg-type]

    return call
