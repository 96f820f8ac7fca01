from .ablation_report import ablation_table, plot_ablation, plot_first_steps
from .comparison import compare
from .curves import plot_curves, read_scalars
from .draw import caption, grid, overlay, read_photo
from .feature_maps import draw_stages, heat
from .hook import PictureHook
from .results_report import factors, plot_factors, read_results, side_by_side, worst
from .speed_report import plot_speed, speed_table
from .statistics import SplitStatistics, count_samples, plot_statistics, statistics_table

__all__ = [
    'PictureHook',
    'SplitStatistics',
    'ablation_table',
    'caption',
    'compare',
    'count_samples',
    'draw_stages',
    'factors',
    'grid',
    'heat',
    'overlay',
    'plot_ablation',
    'plot_curves',
    'plot_factors',
    'plot_first_steps',
    'plot_speed',
    'plot_statistics',
    'read_photo',
    'read_results',
    'read_scalars',
    'side_by_side',
    'speed_table',
    'statistics_table',
    'worst',
]
