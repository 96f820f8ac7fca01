"""What a GPU makes of all this, in ten minutes: numbers, waiting, graphs, speed, memory, evaluation; no network needed.

It prints tables last, and writes cuda.json after each measurement, cuda.md and cuda.png. It stops by itself, and says
what it left out. The exit status is 1 where numbers are out of bounds, a graph breaks or a step waits.

Example: python tools/analysis_tools/cuda_report.py --out work_dirs/cuda --page docs/cuda.md
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

PROJECTS = Path(__file__).resolve().parents[2] / 'projects'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--out', type=Path, help='folder for cuda.json, cuda.md and cuda.png')
    source.add_argument('--json', type=Path, help='measure nothing, and write --page from an earlier cuda.json')
    parser.add_argument('--page', type=Path, help='Markdown to write into, between its marks, too')
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--small', action='store_true', help='as little as shows that it runs, on a CPU, too')
    parser.add_argument('--minutes', type=float, default=10, help='after which it stops; default: 10')
    parser.add_argument('--sections', nargs='+', help='some of correctness, waiting, compile, speed, evaluation')
    return parser.parse_args()


def read(path: Path) -> dict[str, Any]:
    """What an earlier run wrote."""
    try:
        report = json.loads(path.read_text(encoding='utf-8'))
        return {key: report[key] for key in ('rows', 'left_out', 'broken', 'machine', 'setting', 'made', 'bounds')}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path}: expected the cuda.json of an earlier run') from error


def made() -> dict[str, Any]:
    """When, by which command, and of which commit."""
    from mgfe_ris.engine import git_state

    git = git_state(Path(__file__).parent) or dict(commit='unknown', dirty=False)
    return dict(
        command=shlex.join(['python', *sys.argv]),
        date=time.strftime('%Y-%m-%d'),
        commit=git['commit'][:12] + ' with changes' * git['dirty'],
    )


def main() -> None:
    args = parse_args()
    # what takes seconds is imported here: --help and wrong options need not wait for it
    from mgfe_ris.apis import check_cuda, measure_cuda, report_errors
    from mgfe_ris.output_files import require_folder
    from mgfe_ris.visualization import check_page, cuda_text, plot_cuda, write_cuda

    with report_errors():
        if args.page:
            check_page(args.page)
        if args.json:
            if not args.page:
                raise ValueError('--json: name the --page to write')
            write_cuda(read(args.json), args.page)
            print(f'wrote {args.page}')
            return
        require_folder('--out', args.out)
        check_cuda(PROJECTS, args.device, args.minutes, args.sections)
    report = measure_cuda(args.out, PROJECTS, args.device, args.minutes, args.small, args.sections, made(), print_now)
    write_cuda(report, args.out / 'cuda.md')
    print(f'\n{cuda_text(report)}')
    plot_cuda(report, args.out / 'cuda.png')
    print(f'wrote {args.out}/cuda.json, cuda.md, cuda.png')
    if args.page:
        write_cuda(report, args.page)
        print(f'wrote {args.page}')
    raise SystemExit(1 if report['broken'] else 0)


def print_now(line: str) -> None:
    print(line, flush=True)


if __name__ == '__main__':
    main()
