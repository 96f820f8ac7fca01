"""SeqTR's photos of all scales."""

import numpy as np
import pytest
from records import project_of

project = project_of('seqtr', autouse=True)


def shown(scale: float, target: tuple[slice, slice], size: tuple[int, int] = (60, 100)) -> dict:
    """A photo whose columns and rows can be told apart, at one scale."""
    from seqtr_jitter import LargeScaleJitter

    mask = np.zeros(size, np.uint8)
    mask[target] = 1
    rows, columns = np.indices(size).astype(np.uint8)
    photo = np.stack([rows + 1, columns + 1, np.full_like(rows, 9)], axis=2)
    jitter = LargeScaleJitter((50, 50), ratios=(scale, scale))
    return jitter.transform(dict(img=photo, gt_seg_map=mask, seg_fields=['gt_seg_map']))


def test_a_smaller_photo_is_padded():
    results = shown(0.5, np.s_[20:40, 40:80])
    assert results['img'].shape == (50, 50, 3) and results['img_shape'] == (50, 50) and results['fitted'] == (15, 25)
    assert not results['img'][15:].any() and not results['img'][:, 25:].any() and results['img'][:15, :25].all()
    assert results['gt_seg_map'].sum() == 5 * 10 and results['gt_seg_map'][5:10, 10:20].all()


@pytest.mark.parametrize('seed', range(5))
def test_of_a_larger_photo_a_window_with_the_target_is_seen(seed):
    """At twice the size that fits, which here is the photo's own; photo and mask are cut alike."""
    np.random.seed(seed)
    results = shown(2.0, np.s_[10:20, 70:90])
    assert results['fitted'] == (30, 50) and results['img'].shape == (50, 50, 3)
    assert results['gt_seg_map'].sum() >= 0.9 * 200
    rows, columns = np.nonzero(results['gt_seg_map'])
    seen = results['img'][rows, columns].astype(int)
    assert seen[:, 0].min() >= 11 and seen[:, 0].max() <= 20 and seen[:, 1].min() >= 71 and seen[:, 1].max() <= 90


def test_windows_differ():
    np.random.seed(0)
    assert len({shown(2.0, np.s_[10:20, 70:90])['img'].tobytes() for _ in range(10)}) > 3


def test_of_a_target_that_fills_the_photo_the_best_window_is_seen():
    """A window of half of each side has a quarter of it, too little; at 1.4, half of it."""
    np.random.seed(0)
    everything = np.s_[:, :]
    assert shown(2.0, everything)['fitted'] == (30, 50)
    whole = shown(2.0, everything)
    assert whole['img'][0, 0, 0] <= 2 and whole['img'][29, 49, 0] >= 59  # from the first to the last row
    part = shown(1.4, everything)
    assert part['fitted'] == (30, 50) and part['img'][:30, :50, 0].max() - part['img'][:30, :50, 0].min() < 50


def test_what_cannot_be_meant_is_refused():
    from seqtr_jitter import LargeScaleJitter

    with pytest.raises(ValueError, match=r'ratios: expected the least and the largest part, above 0; got \(2, 1\)'):
        LargeScaleJitter(ratios=(2, 1))
    with pytest.raises(ValueError, match='put LoadReferringMask ahead of LargeScaleJitter'):
        LargeScaleJitter().transform(dict(img=np.zeros((4, 4, 3), np.uint8)))
