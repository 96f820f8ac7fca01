"""Folders of models, written in one environment and read in another: the masks are the same.

Usage: python tests/folders_elsewhere.py write DIR, and, elsewhere, python tests/folders_elsewhere.py read DIR
"""

import sys
from pathlib import Path

import numpy as np
from transformers import __version__

from mgfe_ris.apis import RISInferencer, save_folder
from mgfe_ris.apis.experiments.cuda.bench import build_small
from mgfe_ris.apis.experiments.small_models import small_families

PROJECTS = Path(__file__).parents[1] / 'projects'
FAMILIES = (
    'lavt_swin-base',
    'mgfe-ris_swin-base_roberta',
    'mgfe-ris_swin-base_clip',
    'mgfe-ris_efficientnet-lite0_minilm',
)
SENTENCES = ['the red ring on the left', 'a “blue” star', 'it']


def scores_of(folder: Path) -> np.ndarray:
    photo = np.random.default_rng(0).integers(256, size=(70, 90, 3), dtype=np.uint8)
    return np.stack([result.score for result in RISInferencer(folder, device='cpu')(photo, SENTENCES)])


def write(root: Path) -> None:
    for name in FAMILIES:
        config, options = small_families(PROJECTS)[name]
        save_folder(build_small(config, options), root / name)
        np.save(root / f'{name}.npy', scores_of(root / name))


def read(root: Path) -> None:
    for name in FAMILIES:
        expected = np.load(root / f'{name}.npy')
        assert expected.std() > 1e-3, f'{name}: scores that tell nothing'
        np.testing.assert_allclose(scores_of(root / name), expected, atol=1e-5, rtol=0, err_msg=name)


if __name__ == '__main__':
    {'write': write, 'read': read}[sys.argv[1]](Path(sys.argv[2]))
    print(f'{sys.argv[1]} under transformers {__version__}: {", ".join(FAMILIES)}')
