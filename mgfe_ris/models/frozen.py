"""Parts of a model that training leaves as they are."""

import re

from torch import nn


def freeze(module: nn.Module, but: str | None = None) -> None:
    """No gradients for any parameter, but those whose names the pattern ``but`` finds.

    Raises:
        ValueError: the pattern finds none.
    """
    kept = {name for name, _ in module.named_parameters() if but is not None and re.search(but, name)}
    if but is not None and not kept:
        raise ValueError(f'{but!r} is in no name of a parameter of {type(module).__name__}; all would be frozen')
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in kept)


def hold_statistics(module: nn.Module) -> None:
    """Batch norms whose weights are frozen normalise by the statistics they have, and do not move them.

    To be called at the end of a model's ``train``, which has just set them to training.
    """
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and not any(p.requires_grad for p in norm.parameters()):
            norm.eval()
