"""The two layouts of an encoder's features."""

from torch import Tensor


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H * W, C) and (H, W) -> (B, C, H, W), a view."""
    return tokens.transpose(1, 2).unflatten(2, size)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C), a view where x allows it."""
    return x.flatten(2).transpose(1, 2)
