"""What tools/quickstart.sh --photos DIR trains and tests on: looks at the folder, and prints the changes of the config,
one a line. What a user should know of the data goes to standard error.

Example: python tools/photos_options.py data/own
"""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mgfe_ris.datasets import ReferringDataset

CONFIG = 'mgfe-ris_efficientnet-lite0_minilm_photos'
FEW = 200  # steps in all


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help="in RefCOCO's form, or with train.jsonl, val.jsonl and photos/")
    return parser.parse_args()


def options_of(folder: Path) -> list[str]:
    """``key=value`` as ``--cfg-options`` takes it: where the data is, of which form, which splits are tested, a smaller
    batch where train has fewer objects than one, and a warm-up of a tenth of the steps where they are few.

    Whether the photos are there is seen by the training, before it begins.

    Raises:
        FileNotFoundError: annotations are missing.
        ValueError: annotations that cannot be read, or that have no split train or no split val.
    """
    data_root, form = form_of(folder)
    train = _dataset(data_root, form, split='train')
    val = _dataset(data_root, form, split='val', per_sentence=True, shuffle_sentences=True)
    named = data_root / (form['ann_folder'] or form['ann_file'] or '')
    options = [f'data_root="{data_root}"', f'test_cfg.splits={splits_of(train, named)}']
    # whether a photo of val has two objects with sentences
    options.append(f'test_cfg.shuffled={["val"] if _count(val) else []}')
    options += suited_to(_count(train))
    say_shared_photos(train)
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


def splits_of(data: ReferringDataset, named: Path) -> list[str]:
    """Those to test on, ``val`` first; ``named``: the annotations, for errors."""
    there = data.index.splits
    for split, use in (('train', 'to train on'), ('val', 'by which the best checkpoint is chosen')):
        if split not in there:
            raise ValueError(f'{named}: no split {split!r}, {use}; there are {sorted(there)}')
    return ['val', *sorted(set(there) - {'train', 'val'})]


def say_shared_photos(train: ReferringDataset) -> None:
    """Photos that a model was trained on are no test of it."""
    from mgfe_ris.datasets.selection import shared_photos

    for split, count in shared_photos(train.index, train.selection()).items():
        photos = 'photo of train is' if count == 1 else 'photos of train are'
        print(f'{count} {photos} in {split}, too: a test on them says little about new photos', file=sys.stderr)


def suited_to(objects: int) -> list[str]:
    """What fewer objects of train need than the config has."""
    from mgfe_ris.apis import load_config

    cfg = load_config(CONFIG)
    batch, warm_up = cfg.train_dataloader.batch_size, cfg.param_scheduler[0].end
    if not objects:
        return []  # the training says it
    options = [f'train_dataloader.batch_size={objects}'] if objects < batch else []
    steps = cfg.train_cfg.max_epochs * max(objects // batch, 1)
    if steps < FEW:
        print(f'{objects} objects to train on make {steps} steps: too few to learn much from', file=sys.stderr)
    return options + ([f'param_scheduler.0.end={steps // 10}'] if steps < 10 * warm_up else [])


def _count(data: ReferringDataset) -> int:
    """Samples."""
    from mgfe_ris.datasets.selection import select_rows

    return len(select_rows(data.index, data.selection()))


def _dataset(data_root: Path, form: dict[str, Any], **asked: Any) -> ReferringDataset:
    """Whose photos are not looked for."""
    from mgfe_ris.datasets import ReferringDataset

    return ReferringDataset(str(data_root), **form, **asked, lazy_init=True)


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
