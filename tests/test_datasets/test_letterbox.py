"""A photo in the middle of a square, and the way back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mgfe_ris.datasets import LoadReferringMask
from mgfe_ris.datasets.letterbox import Letterbox, PackReferringInputs
from mgfe_ris.structures import MaskRule, scores_and_mask

SHARED = Path(__file__).parents[3] / 'shared/fixtures'
RECORDS = [path for system in ('cris', 'etris', 'barleria') for path in sorted(SHARED.glob(f'{system}*.pt'))]


@pytest.mark.parametrize('path', RECORDS or [None], ids=lambda path: path.stem if path else 'none')
def test_recorded_photo_and_truth(path):
    """What the official data set of CRIS makes of a photo."""
    record = torch.load(path, weights_only=True).get('preprocessing') if path else None
    if record is None:
        pytest.skip('this record has no photo' if path else f'no recorded numbers: {SHARED}/cris*.pt')
    side = record['image_uint8'].shape[-1]
    photo = np.ascontiguousarray(record['photo_rgb'].numpy()[..., ::-1])
    truth = (record['truth'].numpy() > 0).astype(np.uint8)
    made = Letterbox((side, side))(dict(img=photo, gt_seg_map=truth, seg_fields=['gt_seg_map']))
    np.testing.assert_allclose(made['to_input'], record['to_input'].numpy(), rtol=0, atol=1e-6)
    difference = made['img'][..., ::-1].astype(int) - record['image_uint8'].permute(1, 2, 0).numpy().astype(int)
    assert (difference != 0).mean() < 0.02 and np.abs(difference).max() <= 2, 'OpenCVs round places differently'
    assert np.abs(made['gt_share'] - record['target'].numpy()).max() <= 2 / 255


@pytest.mark.parametrize('height, width', [(40, 60), (56, 40), (32, 32), (300, 200)])
def test_there_and_back(height, width):
    rows, columns = np.mgrid[:height, :width]
    truth = ((rows < height * 0.6) & (columns > width * 0.3)).astype(np.uint8)
    results = dict(img=np.full((height, width, 3), 200, np.uint8), gt_seg_map=truth, seg_fields=['gt_seg_map'])
    made = Letterbox((64, 64))(dict(results, ori_shape=(height, width)))
    assert made['img'].shape == (64, 64, 3) and made['img_shape'] == (64, 64)
    logits = torch.from_numpy(made['gt_share'])[None] * 20 - 10
    sample = {**made, 'mask_rule': MaskRule(of='scores')}
    mask = scores_and_mask(logits, (height, width), sample)[1].numpy()
    assert (mask != truth).mean() < 0.06


def test_a_truth_that_is_scored_at_the_photos_size_stays(tmp_path):
    results = dict(img=np.zeros((30, 50, 3), np.uint8), gt_seg_map=np.ones((30, 50), np.uint8), seg_fields=[])
    made = Letterbox((64, 64))(results)
    assert made['gt_seg_map'].shape == (30, 50) and 'gt_share' not in made


def test_shares_are_packed():
    results = dict(
        img=np.zeros((30, 50, 3), np.uint8), gt_seg_map=np.ones((30, 50), np.uint8), seg_fields=['gt_seg_map']
    )
    packed = PackReferringInputs(meta_keys=('to_input', 'img_shape'))(Letterbox((64, 64))(results))
    sample = packed['data_samples']
    assert sample.gt_share.data.shape == sample.gt_sem_seg.data.shape == (1, 64, 64)
    assert sample.to_input == ((1.28, 0, 0), (0, 1.28, pytest.approx(12.8)))
    assert torch.equal(sample.gt_sem_seg.data > 0, sample.gt_share.data > 0)


def test_a_mask_that_would_be_stretched_is_refused():
    """After the letterbox, a mask of the photo's shape has no place, unless it is scored at the photo's size."""
    results = dict(img_path='photo.jpg', height=30, width=50, segmentation=[[0, 0, 9, 0, 9, 9]], ref_id=1)
    made = Letterbox((64, 64))(dict(results, img=np.zeros((30, 50, 3), np.uint8), ori_shape=(30, 50)))
    with pytest.raises(ValueError, match='put LoadReferringMask ahead of Letterbox'):
        LoadReferringMask()(dict(made))
    assert LoadReferringMask()(dict(made, score_at='photo'))['gt_seg_map'].shape == (30, 50)
