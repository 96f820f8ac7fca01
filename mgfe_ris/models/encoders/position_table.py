"""Tables of learned positions: a row for the class token, and a square grid of them for the patches."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_position_table(table: Tensor, size: tuple[int, int]) -> Tensor:
    """(1 + g^2, C) -> (1 + h w, C), the grid interpolated (bicubic), the class token's row as it is.

    Raises:
        ValueError: the rows but one are no square.
    """
    grid = round((len(table) - 1) ** 0.5)
    if 1 + grid**2 != len(table):
        raise ValueError(f'a table of positions has {len(table)} rows; expected 1 + g^2, g the side of a square')
    if size == (grid, grid):
        return table
    places = table[1:].T.unflatten(1, (grid, grid))[None]
    places = F.interpolate(places, size, mode='bicubic', align_corners=False)
    return torch.cat([table[:1], places[0].flatten(1).T])
