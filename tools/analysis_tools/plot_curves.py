"""Draw the curves of a training.

Example: python tools/analysis_tools/plot_curves.py work_dirs/mgfe-ris_tiny_refshapes --out curves.png
"""

import argparse

from mgfe_ris.apis import report_errors
from mgfe_ris.visualization import plot_curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dir', help='folder that training wrote')
    parser.add_argument('--out', default='curves.png')
    args = parser.parse_args()
    plot_curves(args.work_dir, args.out)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    with report_errors():
        main()
