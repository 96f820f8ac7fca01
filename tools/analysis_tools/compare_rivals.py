"""Train small versions of all systems on the same drawn photos for as many steps, and write their table.

The systems are ours and those of projects/<system>/<system>_tiny_refshapes.py. Run again, it goes on.

Example: python tools/analysis_tools/compare_rivals.py --jobs 2 --page docs/rivals.md
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mgfe_ris.apis import AblationRun

PROJECTS = Path(__file__).resolve().parents[2] / 'projects'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--systems', nargs='+', help='some of them, by what precedes _tiny_refshapes in their names')
    parser.add_argument('--seeds', type=int, default=1, help='0, 1, ...; default: 1; the table shows means')
    parser.add_argument('--epochs', type=int, help="default: the configs' own")
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time, which share the cores')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/rivals'), help='for the runs; default: %(default)s')
    parser.add_argument('--page', type=Path, help='Markdown to write the table into; default: rivals.md in --out')
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', help='changes of all systems, e.g. data_root=data/x'
    )
    args = parser.parse_args()
    args.page = args.page or args.out / 'rivals.md'
    return args


def plan(args: argparse.Namespace) -> tuple[list[AblationRun], dict[str, dict]]:
    """The runs, a seed of all systems after the other; and what is known of a system ahead.

    Everything is checked here, and nothing is written.
    """
    from mgfe_ris.apis import AblationRun, budget_of, build_model, check_inputs, find_systems, input_size, system_config
    from mgfe_ris.visualization import check_page

    for name in ('seeds', 'jobs'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} must be 1 or more; got {getattr(args, name)}')
    check_page(args.page)
    files = find_systems(PROJECTS)
    if unknown := set(args.systems or ()) - files.keys():
        raise ValueError(f'--systems: there are no {sorted(unknown)}; there are {list(files)}')
    names = [name for name in files if name in (args.systems or files)]
    can_import({files[name].parent for name in names})
    runs = []
    for seed in range(args.seeds):
        for name in names:
            cfg = system_config(files[name], seed, args.epochs, args.cfg_options)
            runs.append(AblationRun(name, seed, args.out / name / f'seed{seed}', cfg))
    for run in runs:
        run.check()
    first = {run.row: run.cfg for run in runs[: len(names)]}
    steps = budget_of(first)['steps']
    known = {}
    for name, cfg in first.items():
        height, width = input_size(cfg)
        params = sum(weights.numel() for weights in build_model(cfg).parameters()) / 1e6
        known[name] = dict(params=params, input=f'{width} x {height}', steps=steps)
        print(f'{name}: {known[name]["params"]:.2f} M parameters, {steps} steps')
    check_inputs(run.cfg for run in runs if not run.done)
    return runs, known


def can_import(projects: set[Path]) -> None:
    """What the projects' configs import, here and in the processes that train and test."""
    found = [str(path) for path in sorted(projects) if path.is_relative_to(PROJECTS)]
    sys.path[:0] = found
    os.environ['PYTHONPATH'] = os.pathsep.join([*found, *filter(None, [os.environ.get('PYTHONPATH')])])


def write(args: argparse.Namespace, runs: list[AblationRun], known: dict[str, dict]) -> None:
    """What is done; a system without a finished run has a row that says so."""
    from mgfe_ris.apis import MARGIN, measure_systems, read_scores
    from mgfe_ris.visualization import rivals_table, write_rivals

    done = {name: [run for run in runs if run.row == name and run.done] for name in known}
    done = {name: of_one for name, of_one in done.items() if of_one}
    if not done:
        print('no table yet: no run is done')
        return
    speed = measure_systems({name: of_one[0].cfg for name, of_one in done.items()})
    rows = []
    for name in known:
        row = dict(system=name, **known[name])
        if name in done:
            row |= read_scores(done[name]) | speed[name] | dict(seeds=[run.seed for run in done[name]])
        rows.append(row | dict(learned=verdict(row, MARGIN)))
    made = machine()
    write_rivals(rows, about(args, MARGIN, made), args.page, dict(systems=rows, **made))
    print(rivals_table(rows))
    print(f'wrote {args.page}, .csv and .json')


def verdict(row: dict, margin: float) -> str:
    if 'oIoU' not in row:
        return 'not trained'
    return 'yes' if row['oIoU'] - row['exchanged'] >= margin else 'no'


def machine() -> dict:
    """When, where, and with what."""
    import torch

    from mgfe_ris.engine import git_state
    from mgfe_ris.profiling import describe_machine

    described = describe_machine(torch.device('cpu'))
    del described['threads']  # of this process now: speeds are of one
    return dict(
        command=shlex.join(['python', *sys.argv]),
        date=time.strftime('%Y-%m-%d'),
        machine=described,
        git=git_state(Path(__file__).parent),
    )


def about(args: argparse.Namespace, margin: float, made: dict) -> list[str]:
    """How the table was made, and by what rule it says that a system learned."""
    git = made['git'] or dict(commit='unknown', dirty=False)
    return [
        f'Learned: oIoU is at least {margin:g} points above what the same weights score with the sentences of a '
        'photo\'s objects exchanged. A row with "no" did not learn to listen in this budget.',
        f'`val` as the last epoch leaves it; {args.seeds} seed{"s" * (args.seeds > 1)}. Milliseconds are of one '
        'thread, the systems in turn, without data loading.',
        f'`{made["command"]}`, {made["date"]}, commit {git["commit"][:12]}{" with changes" * git["dirty"]}, '
        + ', '.join(f'{key} {value}' for key, value in made['machine'].items())
        + '.',
    ]


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import report_errors, resumable, train_all

    with resumable():
        with report_errors():
            runs, known = plan(args)
        train_all(runs, args.jobs, args.out, partial(write, args, runs, known))


if __name__ == '__main__':
    main()
