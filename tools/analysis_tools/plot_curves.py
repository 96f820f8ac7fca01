"""Draw the curves of a training.

Example: python tools/analysis_tools/plot_curves.py work_dirs/mgfe-ris_tiny_refshapes --out curves.png
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dir', help='folder that training wrote')
    parser.add_argument('--out', default='curves.png', help='.png, .jpg, .pdf or .svg; default: curves.png')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors
    from mgfe_ris.visualization import plot_curves

    with report_errors():
        plot_curves(args.work_dir, args.out)
        print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
