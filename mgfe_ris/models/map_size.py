"""Parts that have weights for each pixel, and so are tied to maps of one size."""

from collections.abc import Sequence

from torch import Tensor, nn


def read_map_size(map_size: int | Sequence[int]) -> tuple[int, int]:
    """The side of a square map, or (H, W), -> (H, W).

    Raises:
        ValueError: it is neither.
    """
    size = (map_size, map_size) if isinstance(map_size, int) else tuple(map_size)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"map_size must be the side of the stage's square map, or its (H, W); got {map_size}")
    return size


def require_map_size(part: nn.Module, map_size: tuple[int, int], x: Tensor) -> None:
    """Raises a ValueError for a map ``x`` (B, C, H, W) of another size than the one that ``part`` was built for."""
    if x.shape[2:] != map_size:
        raise ValueError(
            f'{type(part).__name__} was built for maps of {map_size}, and got {tuple(x.shape[2:])}: it has weights for '
            "each pixel. Photos of the config's size, or another map_size, and training anew"
        )
