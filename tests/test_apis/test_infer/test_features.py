"""What meets at the seam after each stage."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mgfe_ris.apis import load_model, stage_features

pytestmark = pytest.mark.usefixtures('one_thread')
TINY = Path(__file__).parents[3] / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'


def test_a_model_of_another_shape_has_no_stages():
    with pytest.raises(ValueError, match='a Linear has no stages at which language comes in'):
        stage_features(torch.nn.Linear(1, 1), 'photo.png', 'red ring')


def test_stage_features_are_v_and_f(small_model, tmp_path):
    torch.manual_seed(0)
    model = load_model(TINY, options=small_model, device='cpu')
    photo = tmp_path / 'photo.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)).save(photo)
    fused = []
    forward = model.neck.forward
    model.neck.forward = lambda i, v, **words: fused.append((v, *forward(i, v, **words))) or fused[-1][1:]
    stages = stage_features(model, photo, 'red ring')
    assert [v.shape for v, _ in stages] == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]
    for (v, f), (v_there, out, _) in zip(stages, fused, strict=True):
        assert v.dtype == f.dtype == np.float32 and v.shape == f.shape
        assert np.array_equal(v, v_there[0]) and np.allclose(v + f, out[0], atol=1e-5), "the paper's F' = V + F"
    in_memory = stage_features(model, Image.open(photo), 'red ring')
    assert all(np.array_equal(a, b) for pair in zip(stages, in_memory, strict=True) for a, b in zip(*pair, strict=True))
    others = stage_features(model, photo, 'large blue star')
    assert np.array_equal(stages[0][0], others[0][0]), 'no word has been heard ahead of stage 1'
    assert all(np.abs(f - g).max() > 0 for (_, f), (_, g) in zip(stages, others, strict=True))
