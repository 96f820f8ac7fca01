"""How much of a model's masks changes in bf16: of the pixels, of the sentences, and of the metrics.

Every batch of the config's test is computed in float32 and in bf16, and the masks are compared at the photos' size.

Example: python tools/analysis_tools/compare_precision.py work_dirs/quickstart --cfg-options data_root=data/refshapes
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

    from mgfe_ris.apis import RISInferencer
    from mgfe_ris.evaluation import MaskChanges


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='folder, checkpoint, config or its name')
    parser.add_argument('--checkpoint', help='weights, where the model is a config')
    parser.add_argument('--device', help='default: cuda if there is one, else cpu')
    parser.add_argument('--split', default='val', help='of the data set; default: val')
    parser.add_argument('--batches', type=int, help='so many, the first ones; default: all')
    parser.add_argument('--out', type=Path, help='JSON file of the same numbers')
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    return parser.parse_args()


def build_loader(cfg: Any, split: str) -> DataLoader:
    """Of the config's test, on one split, in this process."""
    from mgfe_ris.data_parts import with_changed_parts
    from mgfe_ris.engine import RISRunner

    settings = cfg.test_dataloader
    settings.dataset = with_changed_parts(settings.dataset, split=split)
    settings.update(num_workers=0, persistent_workers=False)
    settings.pop('prefetch_factor', None)
    return RISRunner.build_dataloader(settings, seed=0)


def masks_of(inferencer: RISInferencer, batch: dict) -> list[tuple[Tensor, Tensor]]:
    """Of each sentence: its mask, and the truth, both (height, width) of the photo."""
    from mgfe_ris.structures import logits_of, mask_of

    found = []
    for sample in inferencer.test_step(batch):
        truth = sample.gt_sem_seg.data[0]
        found.append((mask_of(logits_of(sample), truth.shape, sample), truth))
    return found


def compare(whole: RISInferencer, half: RISInferencer, loader: DataLoader, batches: int | None) -> MaskChanges:
    from itertools import islice

    from tqdm import tqdm

    from mgfe_ris.evaluation import MaskChanges

    changes = MaskChanges()
    for batch in tqdm(islice(loader, batches), total=min(len(loader), batches or len(loader)), unit='batch'):
        for (before, truth), (after, _) in zip(masks_of(whole, batch), masks_of(half, batch), strict=True):
            changes.add(before, after, truth)
    return changes


def table(report: dict[str, Any]) -> str:
    from mgfe_ris.visualization.markdown import markdown_table

    limits = ', '.join(f'{report[f"below_{limit}"]:.2f} % to an IoU below {limit}' for limit in (0.99, 0.9, 0.5))
    rows = [
        [name, *(f'{value:.2f}' for value in report[key].values())]
        for name, key in (('float32', 'before'), ('bf16', 'after'))
    ]
    return (
        f'{report["sentences"]} sentences: in bf16 {report["pixels_changed"]:.3f} % of the pixels change, and '
        f'{report["masks_changed"]:.1f} % of the masks ({limits}).\n\n{markdown_table(["", *report["before"]], rows)}'
    )


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import RISInferencer, load_config, report_errors
    from mgfe_ris.output_files import require_file, whole_file

    with report_errors():
        if args.batches is not None and args.batches < 1:
            raise ValueError(f'--batches must be 1 or more; got {args.batches}')
        if args.out:
            require_file('--out', args.out)
        whole = RISInferencer(args.model, args.checkpoint, args.device)
        half = RISInferencer(whole.model, precision='bf16')
        loader = build_loader(load_config(whole.model.cfg.filename, args.cfg_options), args.split)
        report = compare(whole, half, loader, args.batches).report()
        print(table(report))
        if args.out:
            with whole_file(args.out) as part:
                part.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
