from .ablation_report import ablation_table, milliseconds_per_step, plot_first_steps, write_ablation
from .comparison import compare
from .cuda_report import cuda_text, plot_cuda, write_cuda
from .curves import plot_curves, read_scalars
from .draw import PALETTE, caption, grid, overlay, read_photo
from .feature_maps import STAGES_LEGEND, Response, draw_stages
from .hook import PictureHook, ValidationPictureHook
from .markdown import markdown_table
from .marked_page import check_page, write_between_marks
from .metrics_report import INTERVAL, metrics_table, results_table
from .photos_report import write_photos
from .results_report import (
    Record,
    at_percentiles,
    category_table,
    decode_mask,
    factors,
    plot_factors,
    read_results,
    side_by_side,
    titled,
    unmet_table,
    worst,
)
from .rivals_report import rivals_table, write_rivals
from .speed_report import plot_speed, speed_table
from .statistics import SplitStatistics, count_samples, plot_statistics, statistics_table
from .systems_report import systems_report

__all__ = [
    'INTERVAL',
    'PALETTE',
    'STAGES_LEGEND',
    'PictureHook',
    'Record',
    'Response',
    'SplitStatistics',
    'ValidationPictureHook',
    'ablation_table',
    'at_percentiles',
    'caption',
    'category_table',
    'check_page',
    'compare',
    'count_samples',
    'cuda_text',
    'decode_mask',
    'draw_stages',
    'factors',
    'grid',
    'markdown_table',
    'metrics_table',
    'milliseconds_per_step',
    'overlay',
    'plot_cuda',
    'plot_curves',
    'plot_factors',
    'plot_first_steps',
    'plot_speed',
    'plot_statistics',
    'read_photo',
    'read_results',
    'read_scalars',
    'results_table',
    'rivals_table',
    'side_by_side',
    'speed_table',
    'statistics_table',
    'systems_report',
    'titled',
    'unmet_table',
    'worst',
    'write_ablation',
    'write_between_marks',
    'write_cuda',
    'write_photos',
    'write_rivals',
]
