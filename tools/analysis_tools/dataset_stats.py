"""Count a data set: photos, objects, sentences, words, sizes and places of the targets, per split.

Example: python tools/analysis_tools/dataset_stats.py configs/mgfe_ris/mgfe-ris_swin-base_refcoco.py --out stats.png
"""

from __future__ import annotations

import argparse
import json
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
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    args = parser.parse_args()
    if args.out.suffix != '.png':
        parser.error(f'--out {args.out}: the picture is a .png')
    return args


def build_datasets(cfg: Config, splits: list[str] | None) -> dict[str, BaseDataset]:
    """One sample per object, the mask decoded, no photo read."""
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    init_default_scope(cfg.default_scope)
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    changes = dict(per_sentence=False, pipeline=[dict(type='LoadReferringMask')])
    return {
        split: DATASETS.build({**(train if split == train.split else test), 'split': split, **changes})
        for split in splits or dict.fromkeys((train.split, *cfg.test_cfg.splits))
    }


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import load_config, report_errors
    from mgfe_ris.visualization import count_samples, plot_statistics, statistics_table

    with report_errors():
        datasets = build_datasets(load_config(args.config, args.cfg_options), args.splits)
        counted = {split: count_samples(dataset[i] for i in range(len(dataset))) for split, dataset in datasets.items()}
        print(statistics_table(counted))
        plot_statistics(counted, args.out, title=f'{Path(args.config).stem}: the data set by split')
        print(f'wrote {args.out}')
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps({name: split.report() for name, split in counted.items()}, indent=2) + '\n')
            print(f'wrote {args.json}')


if __name__ == '__main__':
    main()
