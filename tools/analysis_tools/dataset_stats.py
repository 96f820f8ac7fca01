"""Count a data set: photos, objects, sentences, words, sizes and places of the targets, per split.

Example: python tools/analysis_tools/dataset_stats.py configs/mgfe_ris/mgfe-ris_swin-base_refcoco.py --out stats.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.dataset import BaseDataset


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('--splits', nargs='+', help='default: those that the config trains and tests on')
    parser.add_argument('--out', type=Path, default=Path('stats.png'), help='picture, .png; default: stats.png')
    parser.add_argument('--json', type=Path, help='file for the numbers')
    parser.add_argument(
        '--maps',
        type=int,
        nargs='+',
        default=[],
        metavar='SIDE',
        help='print what a mask can score if drawn on maps of so many cells along a side: for most models here a '
        "quarter of the input's, 120 of 480 px",
    )
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    args = parser.parse_args()
    if args.out.suffix != '.png':
        parser.error(f'--out {args.out}: the picture is a .png')
    return args


def build_datasets(cfg: Config, splits: list[str] | None) -> dict[str, BaseDataset]:
    """One sample per object, the mask decoded, no photo read."""
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    from mgfe_ris.data_parts import config_parts, split_names, split_of, with_changed_parts

    init_default_scope(cfg.default_scope)
    changes = dict(per_sentence=False, pipeline=[dict(type='LoadReferringMask')])
    train, test = (with_changed_parts(cfg[f'{name}_dataloader'].dataset, **changes) for name in ('train', 'test'))
    trained = {split for part in config_parts(train) for split in split_names(part.get('split', 'train'))}
    if splits is None:
        tested = [split for split in cfg.test_cfg.get('splits', ()) if {split} != trained]
        chosen = [train, *(with_changed_parts(test, split=split) for split in tested)]
        chosen += [] if 'splits' in cfg.test_cfg else [test]
    else:
        chosen = [train if {split} == trained else with_changed_parts(test, split=split) for split in splits]
    datasets = map(DATASETS.build, chosen)
    return {split_of(dataset): dataset for dataset in datasets}


def samples_of(dataset: BaseDataset) -> Iterator[dict]:
    """Each once, however often a wrapper repeats it."""
    from mgfe_ris.data_parts import parts_of

    return (part[i] for part in parts_of(dataset) for i in range(len(part)))


def print_ceilings(datasets: dict[str, BaseDataset], sides: list[int]) -> None:
    """The mask is decoded again for each object: that takes milliseconds, and all masks together gigabytes."""
    from mgfe_ris.evaluation import ceilings
    from mgfe_ris.visualization import markdown_table

    rows = []
    for name, dataset in datasets.items():
        masks = (sample['gt_seg_map'] for sample in samples_of(dataset) if sample['gt_seg_map'].any())
        rows += [
            [name, side, *(f'{metrics[key]:.1f}' for key in ('oIoU', 'mIoU', 'P@0.9'))]
            for side, metrics in ceilings(masks, sides).items()
        ]
    print(markdown_table(['split', 'map', 'oIoU', 'mIoU', 'P@0.9'], rows))


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import load_config, report_errors
    from mgfe_ris.visualization import count_samples, plot_statistics, statistics_table

    with report_errors():
        datasets = build_datasets(load_config(args.config, args.cfg_options), args.splits)
        counted = {split: count_samples(samples_of(dataset)) for split, dataset in datasets.items()}
        print(statistics_table(counted))
        if args.maps:
            print_ceilings(datasets, args.maps)
        plot_statistics(counted, args.out, title=f'{Path(args.config).stem}: the data set by split')
        print(f'wrote {args.out}')
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps({name: split.report() for name, split in counted.items()}, indent=2) + '\n')
            print(f'wrote {args.json}')


if __name__ == '__main__':
    main()
