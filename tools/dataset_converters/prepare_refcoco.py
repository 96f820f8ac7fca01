"""Downloads of RefCOCO, RefCOCO+, G-Ref and their photos -> data/coco_ref, as the configs expect it; and is it whole?

Example: python tools/dataset_converters/prepare_refcoco.py ~/downloads/refcoco.zip ~/downloads/train2014
         python tools/dataset_converters/prepare_refcoco.py --check
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('sources', nargs='*', type=Path, metavar='SOURCE', help='zips, folders or files; any nesting')
    parser.add_argument('--out', type=Path, default=Path('data/coco_ref'), help='data root; default: data/coco_ref')
    parser.add_argument('--check', action='store_true', help='only verify what lies in --out; changes nothing')
    parser.add_argument('--report', type=Path, help='JSON; default: report.json in --out, with --check none')
    parser.add_argument('--subset', action='store_true', help='other counts than the published ones are no fault')
    parser.add_argument('--fast', action='store_true', help="read only the photos' headers")
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='processes; default: one per core')
    args = parser.parse_args(arguments)
    if bool(args.sources) == args.check:
        parser.error('name sources to lay out, or --check without sources')
    if args.jobs < 1:
        parser.error(f'--jobs must be at least 1; got {args.jobs}')
    return args


def show(report: dict) -> None:
    print(f'{"data set":11} {"split by":9} {"split":6} {"images":>7} {"objects":>8} {"sentences":>10}  verdict')
    for name, by in report['datasets'].items():
        for split_by, judged in by.items():
            for split, counts in judged['splits'].items():
                numbers = f'{counts["images"]:7} {counts["objects"]:8} {counts["sentences"]:10}'
                print(f'{name:11} {split_by:9} {split:6} {numbers}  {judged["verdict"]}')
    print(f'photos: {report["photos"]["present"]} of {report["photos"]["needed"]}')
    for note in report['notes']:
        print(f'note: {note}')
    for kind, found in report['problems'].items():
        print(f'{kind}: {found["total"]}')
        for what in found['first'][:5]:
            print(f'  {what}')
    if list(report['problems']) == ['counts']:
        print('nothing but counts: if it is meant to be a part of the set, or data of your own, add --subset')
    print('all right' if report['ok'] else 'something is wrong')


def save(report: dict, path: Path) -> None:
    from mgfe_ris.output_files import whole_file

    with whole_file(path) as part:
        part.write_text(json.dumps(report, indent=1) + '\n')


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors
    from mgfe_ris.datasets.prepare import prepare

    with report_errors():
        report = prepare(args.sources, args.out, args.check, args.subset, args.fast, args.jobs)
        path = args.report or (None if args.check else args.out / 'report.json')
        if path:
            save(report, path)
    show(report)
    raise SystemExit(0 if report['ok'] else 1)


if __name__ == '__main__':
    main()
