"""What tools/quickstart.sh --photos DIR trains and tests on: looks at the folder, and prints the changes of the config,
one a line.

Example: python tools/photos_options.py data/own
"""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

BATCH_SIZE = 16  # of configs/_base_/datasets/photos.py


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help="in RefCOCO's form, or with train.jsonl, val.jsonl and photos/")
    return parser.parse_args()


def options_of(folder: Path) -> list[str]:
    """``key=value`` as ``--cfg-options`` takes it: where the data is, of which form, which splits are tested, and a
    smaller batch where train has fewer objects than one.

    Whether the photos are there is seen by the training, before it begins.

    Raises:
        FileNotFoundError: annotations are missing.
        ValueError: annotations that cannot be read, or that have no split train or no split val.
    """
    data_root, form = form_of(folder)
    options = [f'data_root="{data_root}"', f'test_cfg.splits={splits_of(data_root, form)}']
    options.append(f'test_cfg.shuffled={["val"] if can_be_exchanged(data_root, form) else []}')
    if 0 < (objects := count_objects(data_root, form)) < BATCH_SIZE:
        options.append(f'train_dataloader.batch_size={objects}')
    for loader in ('train', 'val', 'test'):
        options += [f'{loader}_dataloader.dataset.{key}={_quoted(value)}' for key, value in form.items()]
    return options


def form_of(folder: Path) -> tuple[Path, dict[str, str | None]]:
    """``data_root`` of a data set, and its other arguments."""
    folder = folder.absolute()
    if (folder / 'train.jsonl').is_file():
        return folder, dict(ann_folder=None, split_by=None, ann_file='*.jsonl', img_folder='photos')
    # the name of the folder is said with that of the annotations: who reads refcoco, a model card for one, takes it for
    # RefCOCO itself
    name = folder.name
    return folder.parent, dict(ann_folder=f'{name}/refcoco', split_by='unc', img_folder=f'{name}/images')


def splits_of(data_root: Path, form: dict[str, Any]) -> list[str]:
    """Those to test on, ``val`` first."""
    from mgfe_ris.datasets import ReferringDataset

    there = ReferringDataset(str(data_root), **form, lazy_init=True).index.splits
    for split, use in (('train', 'to train on'), ('val', 'by which the best checkpoint is chosen')):
        if split not in there:
            named = data_root / (form['ann_folder'] or form['ann_file'])
            raise ValueError(f'{named}: no split {split!r}, {use}; there are {sorted(there)}')
    return ['val', *sorted(set(there) - {'train', 'val'})]


def can_be_exchanged(data_root: Path, form: dict[str, Any]) -> bool:
    """Whether a photo of val has two objects with sentences."""
    return _count(data_root, form, split='val', per_sentence=True, shuffle_sentences=True) > 0


def count_objects(data_root: Path, form: dict[str, Any]) -> int:
    """Of train: the samples of an epoch."""
    return _count(data_root, form, split='train')


def _count(data_root: Path, form: dict[str, Any], **asked: Any) -> int:
    """Samples, whose photos are not looked for."""
    from mgfe_ris.datasets import ReferringDataset
    from mgfe_ris.datasets.selection import select_rows

    data = ReferringDataset(str(data_root), **form, **asked, lazy_init=True)
    return len(select_rows(data.index, data.selection()))


def _quoted(value: str | None) -> str:
    return 'None' if value is None else f'"{value}"'


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors

    with report_errors(), redirect_stdout(sys.stderr):  # what is logged is no option
        options = options_of(args.folder)
    print('\n'.join(options))


if __name__ == '__main__':
    main()
