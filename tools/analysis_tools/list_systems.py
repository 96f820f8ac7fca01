"""List published systems: what is here of each and which test shows it, and the numbers that each source printed.

The facts are those of configs/*/metafile.yml and projects/**/metafile.yml.

Example: python tools/analysis_tools/list_systems.py --page docs/systems.md
"""

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--page', type=Path, help='Markdown to write into, between its marks; default: print')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import report_errors
    from mgfe_ris.evaluation import find_metafiles, read_metafiles
    from mgfe_ris.visualization import check_page, systems_report, write_between_marks

    with report_errors():
        systems = read_metafiles(find_metafiles(ROOT))
        text = systems_report(systems)
        if not args.page:
            print(text, end='')
            return
        check_page(args.page)
        write_between_marks(args.page, text, title='Published systems')
    print(f'wrote {args.page}: {len(systems)} systems')


if __name__ == '__main__':
    main()
