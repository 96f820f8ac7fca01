"""Draw tested samples, chosen by a rule that stands in the picture: photo, sentence, truth, prediction, IoU.

Example: python tools/analysis_tools/results_grid.py results/val.jsonl --out grid.png --percentiles 10 30 50 70 90
"""

import argparse
import random
from pathlib import Path

from PIL import Image


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', type=Path, help='<split>.jsonl that tools/test.py --out wrote')
    parser.add_argument('--out', type=Path, default=Path('grid.png'), help='.png or .jpg; default: grid.png')
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--samples', type=int, default=8, help='drawn at random; default: 8')
    chosen.add_argument(
        '--percentiles', type=float, nargs='+', metavar='P', help='of IoU, from 0, the lowest, to 100: a sample of each'
    )
    parser.add_argument('--columns', type=int, default=2)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors
    from mgfe_ris.visualization import at_percentiles, compare, decode_mask, grid, read_photo, read_results, titled

    with report_errors():
        if args.out.suffix.lower() not in Image.registered_extensions():
            raise ValueError(f'--out {args.out}: a picture is called .png or .jpg: {args.out.with_suffix(".png")}')
        records = read_results(args.results)
        if args.percentiles:
            numbers = at_percentiles(records, args.percentiles)
            places = ', '.join(f'{percentile:g}' for percentile in args.percentiles)
            rule = f'Of {len(records)} samples, by IoU, the lowest first: those at percentile {places}.'
        else:
            numbers = random.Random(args.seed).sample(range(len(records)), min(args.samples, len(records)))
            rule = f'{len(numbers)} of {len(records)} samples at random, seed {args.seed}.'
        pictures = [
            compare(
                read_photo(record['img_path']),
                record['sentence'],
                decode_mask(record['truth']),
                decode_mask(record['pred']),
                record['iou'],
            )
            for record in (records[i] for i in numbers)
        ]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(titled(grid(pictures, args.columns, gap=12), rule)).save(args.out)
        print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
