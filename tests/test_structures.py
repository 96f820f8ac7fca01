"""From logits to a photo's mask."""

import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mgfe_ris.structures import MaskRule, SegDataSample, mask_of, scores_and_mask


def test_two_classes_are_resized_and_compared():
    logits = torch.randn(2, 6, 8)
    resized = F.interpolate(logits[None], (15, 11), mode='bilinear', align_corners=False)[0]
    scores, mask = scores_and_mask(logits, (15, 11))
    assert torch.equal(mask, resized.argmax(0).bool()) and torch.equal(mask_of(logits, (15, 11)), mask)
    torch.testing.assert_close(scores, resized.softmax(0)[1])
    assert torch.equal(scores_and_mask(logits, (15, 11), threshold=0.2)[1], scores > 0.2)


def test_one_class_is_the_same_as_two():
    logits = torch.randn(2, 6, 8)
    one = (logits[1] - logits[0])[None]
    for ours, theirs in zip(scores_and_mask(one, (9, 9)), scores_and_mask(logits, (9, 9)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_mask_has_the_size_of_its_map_where_that_is_asked_for():
    logits = torch.randn(1, 5, 4).half()
    scores, mask = scores_and_mask(logits, (5, 4))
    assert torch.equal(mask, logits[0] > 0) and torch.equal(scores, logits[0].float().sigmoid())


@pytest.mark.parametrize('height, width', [(40, 60), (56, 40), (48, 48)])
def test_a_letterbox_is_undone_as_opencv_does_it(height, width):
    """Probabilities, cubic, 0 beyond the input, and a threshold of the model's own."""
    side, rule = 64, MaskRule(threshold=0.35, of='scores', resize='bicubic', align_corners=True)
    scale = min(side / height, side / width)
    to_input = np.array([[scale, 0, (side - scale * width) / 2], [0, scale, (side - scale * height) / 2]])
    sample = SegDataSample(metainfo=dict(mask_rule=rule, to_input=to_input.tolist(), img_shape=(side, side)))
    logits = F.interpolate(torch.randn(1, 1, 6, 6), (16, 16), mode='bicubic')[0]
    in_input = F.interpolate(logits[None].sigmoid(), (side, side), mode='bicubic', align_corners=True)[0, 0]
    scores, mask = scores_and_mask(logits, (side, side), sample)
    torch.testing.assert_close(scores, in_input)
    back = cv2.invertAffineTransform(to_input)
    expected = cv2.warpAffine(in_input.numpy(), back, (width, height), flags=cv2.INTER_CUBIC, borderValue=0.0)
    scores, mask = scores_and_mask(logits, (height, width), sample)
    assert np.abs(scores.numpy() - expected).max() < 0.02, 'some OpenCVs round places to 1/32 of a pixel'
    assert torch.equal(mask, scores > 0.35)
    assert torch.equal(mask_of(logits, (height, width), sample), mask)


@pytest.mark.parametrize('wrong', [dict(threshold=1.0), dict(of='masks'), dict(resize='nearest')])
def test_a_rule_of_other_words_is_refused(wrong):
    with pytest.raises(ValueError, match='must be'):
        MaskRule(**wrong)


def test_a_threshold_counts_in_logits():
    logits = torch.tensor([[[math.log(0.35 / 0.65) + 1e-4, math.log(0.35 / 0.65) - 1e-4]]])
    sample = dict(mask_rule=MaskRule(threshold=0.35))
    assert scores_and_mask(logits, (1, 2), sample)[1].tolist() == [[True, False]]
