from .comparison import compare
from .curves import plot_curves, read_scalars
from .draw import caption, grid, overlay, read_photo
from .hook import PictureHook

__all__ = [
    'PictureHook',
    'caption',
    'compare',
    'grid',
    'overlay',
    'plot_curves',
    'read_photo',
    'read_scalars',
]
