"""A mask for a sentence on your own photo.

Example: python tools/infer.py photo.jpg --text "the dog on the left" --checkpoint work_dirs/.../best.pth --out masks
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photo', type=Path)
    parser.add_argument('--text', required=True, help='which object is meant')
    parser.add_argument('--checkpoint', type=Path, required=True, help='weights, or a folder with weights and config')
    parser.add_argument('--config', help='default: the one beside the checkpoint')
    parser.add_argument('--out', type=Path, default=Path('.'), help='folder for the pictures; default: this one')
    parser.add_argument('--device', help='default: cuda if there is one, else cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # behind the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import load_model, report_errors, save_result, segment_photo, weights_in

    with report_errors():
        checkpoint = Path(weights_in(args.checkpoint))
        model = load_model(args.config or checkpoint.parent, checkpoint, args.device)
        mask = segment_photo(model, args.photo, args.text)
        for path in save_result(args.out, args.photo, args.text, mask):
            print(f'wrote {path}')


if __name__ == '__main__':
    main()
