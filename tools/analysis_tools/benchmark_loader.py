"""How fast a config's data are read, beside a plain implementation of the same, in one run.

The plain one opens the photo, decodes the mask and resizes both anew for every sentence (Pillow, pycocotools). Both run
over the same samples, in turn.

Example: python tools/analysis_tools/benchmark_loader.py configs/mgfe_ris/mgfe-ris_swin-base_refcoco.py --split val
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from mgfe_ris.datasets import ReferringDataset


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('--split', default='val')
    parser.add_argument('--loader', choices=['train', 'val', 'test'], default='test', help='whose pipeline and batches')
    parser.add_argument('--workers', type=int, default=0, help='processes; 0: this one, which tells where time goes')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    return parser.parse_args()


def build_loader(args: argparse.Namespace) -> DataLoader:
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner
    from mmseg.registry import DATASETS

    from mgfe_ris.apis import load_config
    from mgfe_ris.data_parts import with_changed_parts

    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.default_scope)
    loader = cfg[f'{args.loader}_dataloader']
    loader.dataset = with_changed_parts(loader.dataset, split=args.split)
    loader.update(num_workers=args.workers, persistent_workers=False)
    start = time.perf_counter()
    dataset = DATASETS.build(loader.dataset)
    print(f'index: {len(dataset)} samples in {time.perf_counter() - start:.2f} s')
    return Runner.build_dataloader({**loader, 'dataset': dataset})


def run_ours(loader: DataLoader) -> int:
    return sum(len(batch['inputs']) for batch in loader)


def run_plain(dataset: ReferringDataset, size: tuple[int, int]) -> int:
    """size: (width, height) of the input."""
    import torch

    from mgfe_ris.data_parts import locate

    for i in range(len(dataset)):
        part, place = locate(dataset, i)
        sample = part.get_data_info(place)
        with Image.open(sample['img_path']) as file:
            photo = ImageOps.exif_transpose(file).convert('RGB').resize(size, Image.Resampling.BILINEAR)
        torch.from_numpy(np.asarray(photo).transpose(2, 0, 1).copy())
        frame = sample.get('orientation', 1), sample.get('stored_frame', False)
        mask = plain_mask(sample['segmentation'], sample['height'], sample['width'], *frame)
        torch.from_numpy(np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)).copy())
    return len(dataset)


def plain_mask(parts: list, height: int, width: int, orientation: int = 1, raw: bool = False) -> np.ndarray:
    """As :func:`mgfe_ris.datasets.masks.decode_segmentation`, one part after the other, and unchecked."""
    from mgfe_ris.datasets.masks import turned, turned_size

    shown, stored = (height, width), turned_size((height, width), orientation)
    mask = np.zeros(shown, np.uint8)
    for part in parts:
        drawn = plain_part(part, *(stored if raw else shown))
        has_own_size = isinstance(part, dict) and 'normalized' not in part
        is_stored = drawn.shape == stored if has_own_size and stored != shown else raw
        mask |= turned(drawn, orientation) if is_stored else drawn
    return mask


def plain_part(part: list | dict, height: int, width: int) -> np.ndarray:
    """A polygon of a photo of that size, an RLE, compressed or not, or a PNG -> uint8, 1 inside."""
    from mgfe_ris import coco_masks
    from mgfe_ris.datasets.png_masks import read_png

    if isinstance(part, dict) and 'png' in part:
        return read_png(part['png'], part.get('value')).astype(np.uint8)
    if isinstance(part, dict) and 'normalized' in part:
        part = [x * (height if i % 2 else width) for i, x in enumerate(part['normalized'])]
    if isinstance(part, list):
        return coco_masks.decode(coco_masks.merge(coco_masks.frPyObjects([part], height, width)))
    return coco_masks.decode(coco_masks.frPyObjects(part, *part['size']) if isinstance(part['counts'], list) else part)


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up the seconds inside of the two loading transforms; of this process only."""
    from mgfe_ris.datasets import LoadPhoto, LoadReferringMask

    methods = {'photos': (LoadPhoto, 'transform'), 'masks': (LoadReferringMask, '_decode')}
    originals = {name: getattr(*place) for name, place in methods.items()}

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return originals[name](*args)
            finally:
                spent[name] = spent.get(name, 0) + time.perf_counter() - start

        return call

    for name, place in methods.items():
        setattr(*place, wrapped(name))
    try:
        yield
    finally:
        for name, place in methods.items():
            setattr(*place, originals[name])


def seconds(run: Callable[[], int]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import report_errors

    with report_errors():
        if args.repeats < 1:
            raise ValueError(f'--repeats must be 1 or more; got {args.repeats}')
        loader = build_loader(args)
    size = tuple(loader.dataset[0]['inputs'].shape[:0:-1])
    ours, plain, spent = [], [], {}
    for _ in range(args.repeats):
        with timed(spent):
            ours.append(seconds(lambda: run_ours(loader)))
        plain.append(seconds(lambda: run_plain(loader.dataset, size)))
    n = len(loader.dataset)
    ratios = [p / o for o, p in zip(ours, plain, strict=True)]
    print(f'ours:  {n / median(ours):8.1f} samples/s, {args.workers} workers')
    print(f'plain: {n / median(plain):8.1f} samples/s, in this process')
    print(f'ratio: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} of {args.repeats} pairs)')
    if args.workers == 0:
        shares = ', '.join(f'{name} {100 * s / sum(ours):.0f} %' for name, s in spent.items())
        print(f'share of decoding: {shares}')
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'peak memory of this process: {megabytes:.0f} MB')


if __name__ == '__main__':
    main()
