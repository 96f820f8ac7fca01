"""Logits in files, and the way back to the photo."""

import pytest
import torch
from mmengine.structures import PixelData

from mgfe_ris.evaluation import LogitsHook, bytes_of_logits, read_logits
from mgfe_ris.structures import MaskRule, SegDataSample, scores_and_mask

BOX = ((0.4, 0.0, 0.0), (0.0, 0.4, 4.0))
RULE = MaskRule(threshold=0.35, of='scores', resize='bicubic', align_corners=True)
PLACES = {'stretched': dict(), 'letterbox': dict(to_input=BOX, mask_rule=RULE)}


@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize('place', PLACES)
def test_what_is_read_gives_the_photos_mask(tmp_path, channels, place):
    """In the photo's frame, by the model's own rule."""
    known = dict(img_path='a/b.jpg', img_id=1, ref_id=2, sent_id=3, sentence='the «ring»')
    sample = SegDataSample(metainfo=dict(known, ori_shape=(40, 60), img_shape=(24, 24), **PLACES[place]))
    # numbers that a half has, and so has their difference
    sample.seg_logits = PixelData(data=torch.randint(-8, 8, (channels, 6, 6)) / 4)
    content = LogitsHook(str(tmp_path)).encode(sample)
    assert len(content) <= bytes_of_logits(1, 6, 6)
    (tmp_path / 'x.npz').write_bytes(content)
    logits, told = read_logits(tmp_path / 'x.npz')
    expected = scores_and_mask(sample.seg_logits.data, (40, 60), sample)
    found = scores_and_mask(logits, told.ori_shape, told)
    assert torch.equal(found[1], expected[1]) and found[1].any() and not found[1].all()
    torch.testing.assert_close(found[0], expected[0])
    assert {key: told.get(key) for key in known} == known


@pytest.mark.parametrize('no_target', [-1.0, 1.0])
def test_a_sentence_that_means_nothing_stays_so(tmp_path, no_target):
    known = dict(
        img_path='a.jpg', img_id=1, ref_id=2, sent_id=3, sentence='no ring', ori_shape=(6, 6), img_shape=(6, 6)
    )
    sample = SegDataSample(metainfo=known)
    sample.seg_logits, sample.no_target_logit = PixelData(data=torch.ones(1, 6, 6)), torch.tensor(no_target)
    (tmp_path / 'x.npz').write_bytes(LogitsHook(str(tmp_path)).encode(sample))
    logits, told = read_logits(tmp_path / 'x.npz')
    assert scores_and_mask(logits, (6, 6), told)[1].any() == (no_target < 0)
