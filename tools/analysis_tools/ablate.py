"""Train and test the rows of an ablation, a few seeds each, and write its table. Run again, it goes on.

Tables 4 and 5 are the rows of table3 on other data: --data refcoco+, --data gref-umd.

Example: python tools/analysis_tools/ablate.py table3 --data refshapes --seeds 3 --jobs 2
"""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Container, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from subprocess import Popen

    from tqdm import tqdm

    from mgfe_ris.apis import AblationRun
    from mgfe_ris.evaluation import Run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', help='table3, table6, table7, table8, table9, lavt, encoder, init, control or scale')
    parser.add_argument(
        '--data', default='refcoco', help='refcoco, refcoco+, gref-umd, refshapes, refshapes+ or refshapesg'
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


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Two at once would train each run twice, into the same files.

    Raises:
        BlockingIOError: another one works there.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / '.lock', 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(f'{folder}: another ablate.py works there; wait for it, or end it') from error
        yield  # to the end of this process, however it ends


def work(runs: list[AblationRun], jobs: int, write_table: Callable[[], None]) -> dict[AblationRun, str]:
    """Do what is not done, and write the table behind each seed but the last -> what failed, and why.

    Whatever ends this, an interruption, too, ends the trainings.
    """
    threads = max(1, cores() // jobs)
    waiting = [run for run in runs if not run.done]
    failed: dict[AblationRun, str] = {}
    running: dict[AblationRun, tuple[Generator[Popen, None, None], Popen | None]] = {}
    with progress_of(runs) as bar, ExitStack() as stack:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = stack.enter_context(closing(run.train_and_test(threads))), None
            for run, (steps, process) in list(running.items()):
                if process and process.poll() is None:
                    continue
                try:
                    running[run] = steps, next(steps)
                    continue
                except StopIteration:
                    pass
                except (OSError, RuntimeError) as error:
                    failed[run] = str(error)
                    bar.write(f'error: {error}', file=sys.stderr)
                del running[run]
                of_seed = [other for other in runs if other.seed == run.seed]
                if (waiting or running) and all(other.done or other in failed for other in of_seed):
                    write_table()
            show(bar, runs, list(running), failed)
            time.sleep(0.5)
    return failed


def cores() -> int:
    """That this process may use: fewer than there are in a container, or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def progress_of(runs: list[AblationRun]) -> tqdm:
    from tqdm import tqdm

    layout = '{percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} epochs [{elapsed}<{remaining}{postfix}]'
    # shown every few seconds, with the mean speed: runs of several rows end at different times
    return tqdm(
        total=sum(run.epochs for run in runs),
        initial=sum(run.trained() for run in runs),
        bar_format=layout,
        mininterval=5,
        miniters=0,
        smoothing=0,
    )


def show(bar: tqdm, runs: list[AblationRun], running: list[AblationRun], failed: Container[AblationRun]) -> None:
    trained = {run: run.trained() for run in runs}
    bar.total = sum(trained[run] if run in failed else run.epochs for run in runs)  # nothing is left of what failed
    bar.set_postfix_str('; '.join(run.name for run in running), refresh=False)
    bar.update(sum(trained.values()) - bar.n)


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
    from mgfe_ris.apis import report_errors

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        with ExitStack() as stack:
            with report_errors():
                runs, known = plan(args)
                stack.enter_context(alone_in(folder_of(args)))
                for run in runs:
                    run.prepare()
            write_table = partial(write, runs, known, folder_of(args), f'{args.table} on {args.data}')
            try:
                failed = work(runs, args.jobs, write_table)
            finally:
                write_table()
    except KeyboardInterrupt:
        print('interrupted: run the same command to go on', file=sys.stderr)
        raise SystemExit(130) from None
    if failed:
        raise SystemExit(f'error: {len(failed)} of {len(runs)} runs failed, as said above; run again to try them again')


if __name__ == '__main__':
    main()
