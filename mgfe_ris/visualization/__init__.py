from .comparison import compare
from .curves import plot_curves, read_scalars
from .draw import caption, grid, overlay, read_photo
from .hook import PictureHook
from .statistics import SplitStatistics, count_samples, plot_statistics, statistics_table

__all__ = [
    'PictureHook',
    'SplitStatistics',
    'caption',
    'compare',
    'count_samples',
    'grid',
    'overlay',
    'plot_curves',
    'plot_statistics',
    'read_photo',
    'read_scalars',
    'statistics_table',
]
