"""A result as files."""

import numpy as np
from PIL import Image

from mgfe_ris.apis import save_result
from mgfe_ris.visualization import caption, overlay


def test_mask_and_overlay(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / 'dogs.png')
    mask = np.zeros((30, 50), bool)
    mask[5:20, 10:40] = True
    paths = save_result(tmp_path / 'new/out', tmp_path / 'dogs.png', 'left dog', mask)
    assert [str(p.relative_to(tmp_path)) for p in paths] == ['new/out/dogs_mask.png', 'new/out/dogs_overlay.png']
    saved = np.asarray(Image.open(paths[0]))
    assert saved.dtype == np.uint8 and (saved == 255 * mask).all()
    np.testing.assert_array_equal(Image.open(paths[1]), caption(overlay(photo, mask), 'left dog'))
