"""Draw samples of a data set as the model gets them: after the config's own pipeline, augmentations included.

Example: python tools/analysis_tools/browse_dataset.py configs/mgfe_ris/mgfe-ris_tiny_refshapes.py --out samples.png
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.dataset import BaseDataset

    from mgfe_ris.structures import SegDataSample

WIDTH = 256  # of each photo, pixels
COLUMNS, ROWS = 3, 4
FONT = 14  # pixels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('--split', help="default: the training's data as they are")
    parser.add_argument('--samples', type=int, default=12, help='drawn at random; default: 12')
    parser.add_argument('--seed', type=int, default=0, help='of the choice and of the augmentations')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('samples.png'),
        help=f'one .png, or a folder for <split>_1.png, ... of {COLUMNS * ROWS} samples each; default: samples.png',
    )
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    args = parser.parse_args()
    if args.samples < 1:
        parser.error(f'--samples {args.samples}: at least 1')
    return args


def build_dataset(cfg: Config, split: str | None) -> BaseDataset:
    """With the training's pipeline for the split of the training, the test's for others."""
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    from mgfe_ris.data_parts import config_parts, with_changed_parts

    init_default_scope(cfg.default_scope)
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    if split is None or all(part.get('split', 'train') == split for part in config_parts(train)):
        return DATASETS.build(train)
    return DATASETS.build(with_changed_parts(test, split=split))


def in_input(mask: np.ndarray, sample: SegDataSample) -> np.ndarray:
    """A truth of the photo's own size, which tests may have, where the input shows the photo in its own shape."""
    if sample.get('to_input') is None or mask.shape == tuple(sample.img_shape):
        return mask
    matrix = np.array(sample.to_input)
    return cv2.warpAffine(mask.astype(np.uint8), matrix, sample.img_shape[::-1], flags=cv2.INTER_NEAREST) == 1


def draw(dataset: BaseDataset, i: int, bgr: bool) -> np.ndarray:
    """Sample ``i``: the photo without, as colours are named, and with the mask; the sentence, and what it was."""
    from mgfe_ris.data_parts import locate
    from mgfe_ris.visualization import caption, overlay
    from mgfe_ris.visualization.draw import TRUTH

    packed = dataset[i]
    sample, photo = packed['data_samples'], packed['inputs'].numpy().transpose(1, 2, 0)
    photo = np.ascontiguousarray(photo[..., ::-1] if bgr else photo)
    enlarges = photo.shape[1] < WIDTH
    size = (WIDTH, round(photo.shape[0] * WIDTH / photo.shape[1]))
    picture = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA)
    mask = in_input(sample.gt_sem_seg.data[0].numpy() == 1, sample)
    part, place = locate(dataset, i)
    info = part.get_data_info(place)
    written = info['sentences'][info['sent_ids'].index(sample.sent_id)]
    text = sample.sentence if sample.sentence == written else f'{sample.sentence}\n(in the file: {written})'
    pair = np.concatenate([picture, overlay(picture, mask, TRUTH)], axis=1)
    return caption(pair, text if mask.any() else f'{text}\n(no target)', FONT)


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import load_config, report_errors
    from mgfe_ris.data_parts import split_of
    from mgfe_ris.visualization import grid

    with report_errors():
        cfg = load_config(args.config, args.cfg_options)
        dataset = build_dataset(cfg, args.split)
        chosen = random.Random(args.seed).sample(range(len(dataset)), min(args.samples, len(dataset)))
        np.random.seed(args.seed)
        bgr = cfg.model.data_preprocessor.get('bgr_to_rgb', True)
        pictures = [draw(dataset, i, bgr) for i in chosen]
        single = args.out.suffix == '.png'
        (args.out.parent if single else args.out).mkdir(parents=True, exist_ok=True)
        page = len(pictures) if single else COLUMNS * ROWS
        for start in range(0, len(pictures), page):
            path = args.out if single else args.out / f'{split_of(dataset)}_{start // page + 1}.png'
            shown = pictures[start : start + page]
            Image.fromarray(grid(shown, min(COLUMNS, len(shown)), gap=12)).save(path)
            print(f'wrote {path}')


if __name__ == '__main__':
    main()
