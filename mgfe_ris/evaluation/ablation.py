"""Runs of an ablation -> its table: mean and spread over seeds, and whether a row differs from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from .bootstrap import paired_bootstrap
from .run import Run, spread_over_seeds


def tabulate(rows: Mapping[str, Sequence[Run]]) -> list[dict]:
    """Runs by row, the baseline first -> of each row what a table shows, ready for JSON.

    ``row``; ``seeds``; ``metrics`` and ``std``, by name, in percent; ``mIoU_difference``: to the first row's mIoU, a
    dict of :class:`Difference`, None for the first row.

    Raises:
        ValueError: see :func:`mgfe_ris.evaluation.paired_bootstrap`.
    """
    baseline = next(iter(rows.values()))
    table = []
    for row, runs in rows.items():
        spread = spread_over_seeds(runs)
        table.append(
            dict(
                row=row,
                seeds=[run.seed for run in runs],
                metrics={name: value for name, (value, _) in spread.items()},
                std={name: value for name, (_, value) in spread.items()},
                mIoU_difference=None if runs is baseline else asdict(paired_bootstrap(runs, baseline)),
            )
        )
    return table
