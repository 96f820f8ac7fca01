"""Train and test the rows of an ablation, a few seeds each, and write its table. Run again, it goes on.

Tables 4 and 5 are the rows of table3 on other data: --data refcoco+, --data gref-umd.

Example: python tools/analysis_tools/ablate.py table3 --data refshapes --seeds 3 --jobs 2
"""

from __future__ import annotations

import argparse
import csv
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mgfe_ris.apis import AblationRun


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', help='table3, table6, table7, table8, table9, encoder or init')
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
    """The runs, a seed of all rows after the other, so that an unfinished table is even; and what is known of a row."""
    from mgfe_ris.apis import AblationRun, find_rows, row_config

    for name in ('seeds', 'jobs'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} must be 1 or more; got {getattr(args, name)}')
    files = find_rows(args.table)
    if unknown := set(args.rows or ()) - files.keys():
        raise ValueError(f'--rows: {args.table} has no {sorted(unknown)}; it has {list(files)}')
    runs, known = [], {}
    for seed in range(args.seeds):
        for row in args.rows or files:
            cfg = row_config(files[row], args.data, seed, args.epochs, args.cfg_options, args.from_scratch)
            run = AblationRun(row, seed, args.out / f'{args.table}_{args.data}' / row / f'seed{seed}')
            run.prepare(cfg)
            runs.append(run)
            if row not in known:
                known[row] = describe(cfg, args.data)
                print(f'{row}: {known[row]["params"]:.2f} M parameters, {known[row]["gflops"]:.2f} GFLOPs')
    return runs, known


def describe(cfg, data: str) -> dict:
    """Parameters and GFLOPs as the paper counts them, at the size of the data, and the paper's results."""
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    from mgfe_ris.apis import without_pretrained
    from mgfe_ris.evaluation import count_complexity

    init_default_scope('mmseg')
    (size,) = (step.scale for step in cfg.test_dataloader.dataset.pipeline if step.type == 'Resize')
    found = count_complexity(MODELS.build(without_pretrained(cfg.copy()).model), size[::-1], words=30)
    return dict(
        params=found.image_params + found.text_params,
        gflops=found.image_modules,
        published=cfg.get('published', {}).get(data),
    )


def work(runs: list[AblationRun], jobs: int) -> list[str]:
    """Do what is not done -> what failed."""
    from tqdm import tqdm

    to_do = [run for run in runs if not run.done]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    failed = []
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(runs), initial=len(runs) - len(to_do), unit='run') as bar:
        futures = [pool.submit(run.train_and_test, threads) for run in to_do]
        try:
            for future in as_completed(futures):
                if error := future.exception():
                    failed.append(str(error))
                    bar.write(f'error: {error}')
                bar.update()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def write(runs: list[AblationRun], known: dict[str, dict], out: Path, title: str) -> None:
    """Of the seeds that all rows have done: a table in Markdown, pictures, and a line per run as CSV."""
    from mgfe_ris.evaluation import tabulate
    from mgfe_ris.visualization import ablation_table, plot_ablation, plot_first_steps

    done = {row: [run for run in runs if run.row == row and run.done] for row in known}
    seeds = set.intersection(*({run.seed for run in of_row} for of_row in done.values()))
    if not seeds:
        print('no table yet: no seed of all rows is done')
        return
    done = {row: [run for run in of_row if run.seed in seeds] for row, of_row in done.items()}
    measured = {row: [run.read() for run in of_row] for row, of_row in done.items()}
    table = tabulate(measured)
    for row in table:
        row |= {**known[row['row']], 'minutes': mean(run.minutes() for run in done[row['row']])}
    out.with_suffix('.md').write_text(ablation_table(table), encoding='utf-8')
    plot_ablation(table, title, out.with_suffix('.png'))
    curves = out.with_name(f'{out.name}_steps.png')
    plot_first_steps({row: [run.folder / 'train' for run in of_row] for row, of_row in done.items()}, curves)
    with open(out.with_suffix('.csv'), 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['row', 'seed', *table[0]['metrics'], 'params', 'gflops', 'minutes'])
        for row, of_row in done.items():
            for run, found in zip(of_row, measured[row], strict=True):
                metrics = [f'{value:.4f}' for value in found.metrics.values()]
                about = (f'{known[row][key]:.4f}' for key in ('params', 'gflops'))
                writer.writerow([row, run.seed, *metrics, *about, f'{run.minutes():.1f}'])
    print(ablation_table(table))
    print(f'wrote {out}.md, .csv, .png and {curves.name}')


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import report_errors

    with report_errors():
        runs, known = plan(args)
    failed = work(runs, args.jobs)
    name = f'{args.table}_{args.data}'
    write(runs, known, args.out / name, f'{args.table} on {args.data}')
    if failed:
        raise SystemExit('\n'.join(f'error: {error}' for error in failed))


if __name__ == '__main__':
    main()
