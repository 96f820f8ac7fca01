"""Train and test the rows of an ablation, a few seeds each, and write its table. Run again, it goes on.

Tables 4 and 5 are the rows of table3 on other data: --data refcoco+, --data gref-umd.

Example: python tools/analysis_tools/ablate.py table3 --data refshapes --seeds 3 --jobs 2
"""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mgfe_ris.apis import AblationRun
    from mgfe_ris.evaluation import Run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', help='table3, table6, table7, table8, table9, lavt, encoder, init, control or scale')
    parser.add_argument(
        '--data', default='refcoco', help='refcoco, refcoco+, gref-umd, refshapes, refshapes+, refshapesg or photos'
    )
    parser.add_argument('--rows', nargs='+', help='some of the rows, by what follows the table in their names')
    parser.add_argument('--seeds', type=int, default=3, help='0, 1, ...; default: 3')
    parser.add_argument('--epochs', type=int, help="default: the schedule's own")
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time, which share the cores')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablations'), help='default: work_dirs/ablations')
    parser.add_argument('--from-scratch', action='store_true', help='random weights: needs no network')
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes of all rows, e.g. data_root=data/x')
    return parser.parse_args()


def plan(args: argparse.Namespace) -> tuple[list[AblationRun], dict[str, dict]]:
    """The runs, a seed of all rows after the other, so that an unfinished table is even; and what is known of a row.

    Everything is checked here, and nothing is written.
    """
    from mgfe_ris.apis import AblationRun, check_inputs, describe, find_rows, row_config

    for name in ('seeds', 'jobs'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} must be 1 or more; got {getattr(args, name)}')
    files = find_rows(args.table)
    if unknown := set(args.rows or ()) - files.keys():
        raise ValueError(f'--rows: {args.table} has no {sorted(unknown)}; it has {list(files)}')
    rows = [row for row in files if row in (args.rows or files)]  # the first of them is what others are compared with
    runs = []
    for seed in range(args.seeds):
        for row in rows:
            cfg = row_config(files[row], args.data, seed, args.epochs, args.cfg_options, args.from_scratch)
            runs.append(AblationRun(row, seed, folder_of(args) / row / f'seed{seed}', cfg))
    for run in runs:
        run.check()
    known = {}
    for run in runs[: len(rows)]:
        known[run.row] = describe(run.cfg, args.data)
        print(f'{run.row}: {known[run.row]["params"]:.2f} M parameters, {known[run.row]["gflops"]:.2f} GFLOPs')
    check_inputs(run.cfg for run in runs if not run.done)
    return runs, known


def folder_of(args: argparse.Namespace) -> Path:
    return args.out / f'{args.table}_{args.data}'


def write(runs: list[AblationRun], known: dict[str, dict], out: Path, title: str) -> None:
    """What is done: a table and pictures of the seeds that all rows have, and a line per run as CSV."""
    from mgfe_ris.evaluation import tabulate
    from mgfe_ris.visualization import ablation_table, milliseconds_per_step, plot_first_steps, write_ablation

    done = {row: [run for run in runs if run.row == row and run.done] for row in known}
    if missing := [row for row, of_row in done.items() if not of_row]:
        print(f'not in the table, since no run of theirs is done: {", ".join(missing)}')
    done = {row: of_row for row, of_row in done.items() if of_row}
    seeds = set.intersection(*({run.seed for run in of_row} for of_row in done.values())) if done else set()
    if not seeds:
        print('no table yet: no seed of all rows is done')
        return
    done = {row: [run for run in of_row if run.seed in seeds] for row, of_row in done.items()}
    measured = {row: [run.read() for run in of_row] for row, of_row in done.items()}
    write_runs(done, measured, known, out.with_name(f'{out.name}.csv'))
    table = tabulate(measured)
    for row in table:
        row |= known[row['row']]
        row['ms'] = mean(milliseconds_per_step(run.folder / 'train') for run in done[row['row']])
    write_ablation(table, out, title, about(seeds, table))
    trained = {row: [run.folder / 'train' for run in of_row] for row, of_row in done.items()}
    plot_first_steps(trained, title, out.with_name(f'{out.name}_steps.png'))
    print(ablation_table(table))
    print(f'wrote {out}.md, .csv, .png, _summary.csv and _steps.png')


def write_runs(
    done: dict[str, list[AblationRun]], measured: dict[str, list[Run]], known: dict[str, dict], out: Path
) -> None:
    """A line per run."""
    with open(out, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        names = list(next(iter(measured.values()))[0].metrics)
        writer.writerow(['row', 'seed', *names, 'params', 'gflops', 'minutes'])
        for row, of_row in done.items():
            for run, found in zip(of_row, measured[row], strict=True):
                metrics = [f'{found.metrics[name]:.4f}' for name in names]
                costs = (f'{known[row][key]:.4f}' for key in ('params', 'gflops'))
                writer.writerow([row, run.seed, *metrics, *costs, f'{run.minutes():.1f}'])


def about(seeds: set[int], table: list[dict]) -> list[str]:
    """How a table was made, and by what protocol the paper's numbers in it were."""
    import torch

    from mgfe_ris.profiling import describe_machine

    machine = describe_machine(torch.device('cuda' if torch.cuda.is_available() else 'cpu'))
    protocols = {f'The paper, {row["published_on"]} val: {row["protocol"]}.' for row in table if row['protocol']}
    return [
        *sorted(protocols),
        f'Tested on `val` as the last epoch leaves it; seeds {", ".join(map(str, sorted(seeds)))}: '
        f'`{shlex.join(["python", *sys.argv])}`',
        'Written on ' + ', '.join(f'{key} {value}' for key, value in machine.items()) + '.',
    ]


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import report_errors, resumable, train_all

    with resumable():
        with report_errors():
            runs, known = plan(args)
        write_table = partial(write, runs, known, folder_of(args), f'{args.table} on {args.data}')
        train_all(runs, args.jobs, folder_of(args), write_table)


if __name__ == '__main__':
    main()
