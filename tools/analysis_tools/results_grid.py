"""Draw tested samples: photo, sentence, truth, prediction, IoU.

Example: python tools/analysis_tools/results_grid.py results/val.jsonl --out grid.png --samples 8
"""

import argparse
import random
from pathlib import Path

import pycocotools.mask as coco_mask
from PIL import Image


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', type=Path, help='<split>.jsonl that tools/test.py --out wrote')
    parser.add_argument('--out', type=Path, default=Path('grid.png'), help='.png or .jpg; default: grid.png')
    parser.add_argument('--samples', type=int, default=8, help='drawn at random; default: 8')
    parser.add_argument('--columns', type=int, default=2)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # behind the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors
    from mgfe_ris.visualization import compare, grid, read_photo, read_results

    with report_errors():
        if args.out.suffix.lower() not in Image.registered_extensions():
            raise ValueError(f'--out {args.out}: a picture is called .png or .jpg: {args.out.with_suffix(".png")}')
        records = read_results(args.results)
        chosen = random.Random(args.seed).sample(records, min(args.samples, len(records)))
        pictures = [
            compare(
                read_photo(record['img_path']),
                record['sentence'],
                coco_mask.decode(record['truth']) > 0,
                coco_mask.decode(record['pred']) > 0,
                record['iou'],
            )
            for record in chosen
        ]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid(pictures, args.columns, gap=12)).save(args.out)
        print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
