"""Write the page of what was trained on a small pool of real photos, from what tools/test_photos.sh left.

Example: python tools/analysis_tools/photos_page.py "LAVT=work_dirs/photos/lavt" "prior=work_dirs/photos/prior"
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'rows', nargs='+', metavar='NAME=FOLDER', help='with seed0/, seed1/, ..., each as tools/test_photos.sh left it'
    )
    parser.add_argument('--keep', action='store_true', help='the rows that the page has stay, but for those named anew')
    parser.add_argument('--page', type=Path, default=Path('docs/photos.md'), help='default: %(default)s')
    return parser.parse_args()


def read_rows(named: list[str]) -> dict[str, str]:
    """Folders by name."""
    rows: dict[str, str] = {}
    for text in named:
        name, equals, folder = text.partition('=')
        if not equals or not name or not Path(folder).is_dir():
            raise ValueError(f'{text}: expected NAME=FOLDER, and a folder that is there')
        if name in rows:
            raise ValueError(f'{text}: two rows are called {name!r}')
        rows[name] = folder
    return rows


def main() -> None:
    args = parse_args()
    # what takes seconds is imported here: --help and wrong options need not wait for it
    from mgfe_ris.apis import read_photos, report_errors
    from mgfe_ris.engine import git_state
    from mgfe_ris.visualization import check_page, write_photos

    with report_errors():
        check_page(args.page)
        found = read_photos(read_rows(args.rows))
        git = git_state(Path(__file__).parent) or dict(commit='unknown', dirty=False)
        made = f'{time.strftime("%Y-%m-%d")}, {git["commit"][:12]}' + ' with changes' * git['dirty']
        write_photos(found, args.page, made, args.keep)
    print(f'wrote {args.page} and {args.page.with_suffix(".json")}')


if __name__ == '__main__':
    main()
