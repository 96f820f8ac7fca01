from .comparison import compare
from .curves import plot_curves, read_scalars
from .draw import caption, grid, overlay, read_photo
from .hook import PictureHook
from .speed_report import plot_speed, speed_table
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
    'plot_speed',
    'plot_statistics',
    'read_photo',
    'read_scalars',
    'speed_table',
    'statistics_table',
]
