"""Annotations of labelme, CVAT, YOLO or COCO -> the JSON lines that data sets of one's own are made of.

Examples:
    python tools/dataset_converters/convert_annotations.py labelme labels/ --photos photos/ --out train.jsonl
    python tools/dataset_converters/convert_annotations.py cvat annotations.xml --photos photos/ --out all.jsonl
        --sentence-from caption --val-share 0.1
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

FORMS = {  # those of mgfe_ris.datasets.convert
    'labelme': ('a folder of JSON files', 'description (default: or text, of shape or flags) or label'),
    'cvat': ('the XML of "CVAT for images 1.1"', 'the name of an attribute, default caption, or label'),
    'yolo': ('a folder with data.yaml or classes.txt, and labels/', 'class: YOLO has no other words'),
    'coco': ('a JSON file of instances', 'a key of annotations, or category; default: caption, sentence, ...'),
}


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    forms = parser.add_subparsers(dest='form', required=True, metavar='FORM', help=', '.join(FORMS))
    for name, (source, sentence) in FORMS.items():
        form = forms.add_parser(name, help=source)
        form.add_argument('source', help=source)
        form.add_argument('--photos', required=True, help='folder of the photos; lines name them from there')
        form.add_argument('--out', required=True, help='new file, .jsonl; without --val-share its name is the split')
        form.add_argument('--sentence-from', help=sentence)
        form.add_argument('--val-share', type=float, help='share of the photos whose lines say val, e.g. 0.1')
        form.add_argument('--seed', type=int, default=0, help='of the choice of these photos; default: 0')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors
    from mgfe_ris.datasets import convert

    skipped: Counter = Counter()
    with report_errors():
        objects = convert.FORMS[args.form](args.source, convert.Photos(args.photos), skipped, args.sentence_from)
        summary = convert.write_lines(objects, args.out, skipped, args.val_share, args.seed)
    print(f'wrote {args.out}: {summary.objects} objects, {summary.sentences} sentences, {summary.photos} photos')
    if skipped:
        print(f'left out: {convert.counted(skipped)}', file=sys.stderr)
    if summary.shared_sentences:
        print(
            f'warning: {summary.shared_sentences} sentences are said of several objects of one photo: they mean none',
            file=sys.stderr,
        )


if __name__ == '__main__':
    main()
