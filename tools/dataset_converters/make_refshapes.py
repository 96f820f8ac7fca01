"""Draw RefShapes, the built-in data set, in RefCOCO's form on disk; its flavour grefshapes in gRefCOCO's.

Example: python tools/dataset_converters/make_refshapes.py --out data/refshapes --flavour all
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

FLAVOURS = ('refshapes', 'refshapes+', 'refshapesg', 'grefshapes')  # those of mgfe_ris.datasets.synthetic


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='data root, made if missing')
    parser.add_argument('--flavour', choices=[*FLAVOURS, 'all'], default='refshapes', help='default: refshapes')
    parser.add_argument('--images', type=int, default=2000, help='per flavour, at least 10; default: 2000')
    parser.add_argument('--seed', type=int, default=0, help='not negative; default: 0')
    parser.add_argument(
        '--size',
        type=int,
        default=64,
        help='side of the images in pixels, at least 32; default: 64',
    )
    parser.add_argument('--jobs', type=int, default=1, help='drawing processes; default: 1')
    parser.add_argument('--overwrite', action='store_true', help='replace what an earlier run has written')
    return parser.parse_args(arguments)


def report(out: Path, summary: dict) -> None:
    print(f'{out / summary["annotations"]} (pictures: {out / summary["images"]})')
    print('  split   images  objects    refs  sentences  words  kinds')
    for name, row in summary['splits'].items():
        kinds = ', '.join(f'{kind} {share:.0%}' for kind, share in row['kinds'].items())
        counts = f'{row["images"]:7} {row["objects"]:8} {row["refs"]:7} {row["sentences"]:10}'
        print(f'  {name:6} {counts} {row["words per sentence"]:6.1f}  {kinds}')
    print(f'  scenes with two objects of one shape or colour: {summary["distractor share"]:.0%}')


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors
    from mgfe_ris.datasets.synthetic import write_refshapes

    for flavour in FLAVOURS if args.flavour == 'all' else [args.flavour]:
        with report_errors():
            summary = write_refshapes(
                args.out,
                flavour,
                args.images,
                args.seed,
                args.size,
                args.jobs,
                overwrite=args.overwrite,
            )
        report(args.out, summary)


if __name__ == '__main__':
    main()
