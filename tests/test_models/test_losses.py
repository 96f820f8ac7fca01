"""The losses against eqs. 16 to 23, what eq. 22 does as printed, and what a sum over classes would not see."""

import math

import numpy as np
import pytest
import torch
from by_hand import array, softmax
from mmseg.registry import MODELS

from mgfe_ris.apis import load_config
from mgfe_ris.models.losses import (
    CombineLoss,
    DiceBoundaryLoss,
    MultiClassDiceLoss,
    SoftmaxFocalLoss,
    WeightedCrossEntropyLoss,
)

DELTA = 1e-6  # of Dice
FOCAL_DELTA = 1e-5
IGNORE = 255


def photos(logits, target):
    """Per photo: softmax (C, pixels) and labels (pixels), of the pixels that count."""
    for scores, labels in zip(array(logits), target.numpy(), strict=True):
        counts = labels != IGNORE
        yield softmax(scores[:, counts]), labels[counts]


def dice(p, labels, power=1):
    losses = []
    for c in range(len(p)):
        overlap = sum(p[c, i] for i in range(len(labels)) if labels[i] == c)
        total = sum(p[c] ** power) + sum(labels == c)
        losses.append(1 - 2 * overlap / (total + DELTA))
    return np.mean(losses)


def mean_dice(logits, target, power=1):
    return np.mean([dice(p, labels, power) for p, labels in photos(logits, target)])


def dice_over_batch(logits, target):
    probabilities, labels = zip(*photos(logits, target), strict=True)
    return dice(np.concatenate(probabilities, 1), np.concatenate(labels))


def focal(logits, target, alpha=0.25, gamma=2.0, corrected=False):
    """Eqs. 20 to 23; as printed, eq. 22 has the p of eq. 20, corrected the softmax."""
    losses = []
    for p_s, labels in photos(logits, target):
        for c, i in np.ndindex(p_s.shape):
            y = float(labels[i] == c)
            right = p_s[c, i] * y + (1 - p_s[c, i]) * (1 - y)
            p = p_s[c, i] if corrected else right
            log = y * math.log(p + FOCAL_DELTA) + (1 - y) * math.log(1 - p + FOCAL_DELTA)
            losses.append(-alpha * (1 - right) ** gamma * log)
    return np.mean(losses)


def cross_entropy(logits, target, weights):
    total, mass = 0, 0
    for p, labels in photos(logits, target):
        for i, c in enumerate(labels):
            total -= weights[c] * math.log(p[c, i])
            mass += weights[c]
    return total / mass


LOSSES = {
    'dice': (MultiClassDiceLoss(), mean_dice),
    'dice, squared': (MultiClassDiceLoss(squared=True), lambda x, y: mean_dice(x, y, power=2)),
    'dice over batch': (MultiClassDiceLoss(over_batch=True), dice_over_batch),
    'focal': (SoftmaxFocalLoss(), focal),
    'focal, other': (SoftmaxFocalLoss(alpha=0.6, gamma=1), lambda x, y: focal(x, y, 0.6, 1)),
    'focal, corrected': (SoftmaxFocalLoss(corrected=True), lambda x, y: focal(x, y, corrected=True)),
    'cross entropy': (WeightedCrossEntropyLoss(), lambda x, y: cross_entropy(x, y, (0.9, 1.1))),
}
EVERY = {
    **{name: loss for name, (loss, _) in LOSSES.items()},
    'combined': CombineLoss(),
    'boundary': DiceBoundaryLoss(),
}
each_default = pytest.mark.parametrize('loss', EVERY.values(), ids=EVERY.keys())
each_loss = pytest.mark.parametrize(('loss', 'reference'), LOSSES.values(), ids=LOSSES.keys())


def data(batch=2, classes=2, size=(5, 3), ignored=0):
    """Logits and labels; each photo has other shares of target and of ignored pixels."""
    logits = 2 * torch.randn(batch, classes, *size, dtype=torch.float64)
    target = torch.randint(classes, (batch, *size))
    target[0, 0] = 0
    for i in range(batch):
        target[i].view(-1)[: ignored * (i + 1)] = IGNORE
    return logits, target


def assert_is(loss, expected):
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=0, abs=1e-10)


@each_loss
@pytest.mark.parametrize('ignored', [0, 4], ids='ignored={}'.format)
@pytest.mark.parametrize('batch', [1, 3], ids='batch={}'.format)
def test_agrees_with_the_equation(loss, reference, batch, ignored):
    logits, target = data(batch=batch, ignored=ignored)
    assert_is(loss(logits, target), reference(logits, target))


@pytest.mark.parametrize('name', ['dice', 'dice, squared', 'dice over batch', 'focal', 'focal, corrected'])
def test_agrees_for_more_classes_than_two(name):
    loss, reference = LOSSES[name]
    logits, target = data(classes=3, ignored=2)
    assert_is(loss(logits, target), reference(logits, target))


@each_loss
@pytest.mark.parametrize('label', [0, 1])
def test_agrees_where_a_class_is_absent(loss, reference, label):
    logits, target = data()
    target[:] = label
    assert_is(loss(logits, target), reference(logits, target))


@each_loss
def test_gradients_agree_with_finite_differences(loss, reference):
    logits, target = data(ignored=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


@each_loss
def test_ignored_pixels_count_nowhere(loss, reference):
    logits, target = data(ignored=4)
    ignored = (target == IGNORE)[:, None].expand_as(logits)
    before = loss(logits.requires_grad_(), target)
    before.backward()
    assert logits.grad[ignored].eq(0).all() and logits.grad[~ignored].ne(0).all()
    changed = torch.where(ignored, 50 * torch.randn_like(logits), logits)
    assert_is(loss(changed, target), before.item())


@each_loss
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_logits_lose_nothing_more(loss, reference, dtype):
    logits, target = data()
    logits = (10 * logits).to(dtype)
    expected = loss(logits.float(), target)
    torch.testing.assert_close(loss(logits, target).float(), expected, rtol=1e-2, atol=1e-2)
    assert loss(logits, target).isfinite()


def test_the_weights_of_classes_are_exact_in_any_type():
    loss = WeightedCrossEntropyLoss((0.9, 1.1)).half().double()
    assert not loss.state_dict() and not [*loss.buffers()], 'a buffer would round them'
    logits, target = data(ignored=2)
    assert_is(loss(logits, target), cross_entropy(logits, target, (0.9, 1.1)))


@each_default
def test_a_photo_of_ignored_pixels_alone_is_finite_and_has_no_gradient(loss):
    logits, target = data()
    target[:] = IGNORE
    found = loss(logits.requires_grad_(), target)
    found = sum(found.values()) if isinstance(found, dict) else found
    found.backward()
    assert found.isfinite() and logits.grad.eq(0).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@each_default
def test_mixed_precision_computes_losses_in_fp32(loss, dtype):
    """Also of logits that are sure and wrong, where a half's rounding would leave ln 0 or lose delta."""
    logits, target = data()
    logits = (20 * logits).to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=dtype):
        found = loss(logits, target)
    found = sum(found.values()) if isinstance(found, dict) else found
    found.backward()
    assert found.dtype == torch.float32 and found.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize(('alpha', 'beta'), [(1, 4), (1, 3), (1, 1), (3, 1), (4, 1)])
def test_the_combined_loss_is_the_weighted_sum_of_eq_16(alpha, beta):
    logits, target = data(ignored=3)
    losses = CombineLoss(alpha, beta)(logits, target)
    assert losses.keys() == {'loss_dice', 'loss_focal'}
    assert_is(losses['loss_dice'], alpha * mean_dice(logits, target))
    assert_is(losses['loss_focal'], beta * focal(logits, target))


def test_by_default_it_is_dice_and_three_times_focal_as_printed():
    logits, target = data(ignored=3)
    for loss in (CombineLoss(), MODELS.build(load_config('mgfe-ris_swin-base_refcoco').model.loss)):
        assert_is(sum(loss(logits, target).values()), mean_dice(logits, target) + 3 * focal(logits, target))


def test_adamw_does_not_see_a_factor_of_both():
    start, target = data()
    ends = []
    for factor in (1, 4):
        logits = start.clone().requires_grad_()
        optimizer, loss = torch.optim.AdamW([logits], lr=0.1, eps=1e-16), CombineLoss(factor, 3 * factor)
        for _ in range(5):
            optimizer.zero_grad()
            sum(loss(logits, target).values()).backward()
            optimizer.step()
        ends.append(logits.detach())
    assert (ends[0] - start).abs().max() > 0.1
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-4)


def test_the_combined_loss_takes_terms_from_the_config():
    logits, target = data()
    loss = CombineLoss(
        dice=dict(type='MultiClassDiceLoss', over_batch=True),
        focal=dict(type='SoftmaxFocalLoss', gamma=0.0),
    )
    losses = loss(logits, target)
    assert_is(losses['loss_dice'], dice_over_batch(logits, target))
    assert_is(losses['loss_focal'], 3 * focal(logits, target, gamma=0))


def test_a_ratio_of_earlier_configs_has_the_weights_that_it_had():
    logits, target = torch.randn(2, 2, 5, 6), torch.randint(0, 2, (2, 5, 6))
    today, earlier = CombineLoss(1, 3)(logits, target), CombineLoss(ratio=1 / 3)(logits, target)
    assert all(torch.allclose(earlier[name], value / 4) for name, value in today.items())
    for ratio in (0, -1, -0.5):
        with pytest.raises(ValueError, match='or their ratio, must be positive; got 1, 3, ratio '):
            CombineLoss(ratio=ratio)


def test_gradients_of_the_combined_loss_agree_with_finite_differences():
    logits, target = data(ignored=2)
    loss = CombineLoss()
    assert torch.autograd.gradcheck(lambda x: sum(loss(x, target).values()), logits.requires_grad_())


@pytest.mark.parametrize('weight', [0, -1, math.nan])
def test_weights_must_be_positive(weight):
    for weights in ((weight, 3), (1, weight)):
        with pytest.raises(ValueError, match='must be positive; got'):
            CombineLoss(*weights)


# Eq. 22 as printed and corrected. One pixel of class 1; x is the logit of the wrong class 0


def slope_at(x, **options):
    """d focal / d x, for logits (x, 0)."""
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    logits = torch.stack([x, torch.zeros_like(x)])[None, :, None, None]
    SoftmaxFocalLoss(**options)(logits, torch.ones(1, 1, 1, dtype=torch.long)).backward()
    return x.grad.item()


@pytest.mark.parametrize('x', [-4.0, -1.0, 0.0, 1.0, 4.0])
def test_both_forms_push_the_wrong_class_down_with_the_focus(x):
    # descent moves the logit against the slope
    assert slope_at(x) > 0 and slope_at(x, corrected=True) > 0


@pytest.mark.parametrize('x', [-4.0, -1.0, 1.0, 4.0])
def test_without_the_focus_eq_22_as_printed_pulls_towards_a_half(x):
    """-(ln q + ln(1 - q)) / 2 is least at q = 1/2: it is the weight (1 - q)^2 that makes it ask for the truth."""
    assert slope_at(x, gamma=0) * x > 0
    assert slope_at(x, gamma=0, corrected=True) > 0


def test_of_two_classes_the_printed_form_is_both_logarithms_of_one_number():
    logits, target = data()
    q = logits.softmax(1).gather(1, target[:, None])
    expected = -0.25 * (1 - q) ** 2 * ((q + FOCAL_DELTA).log() + (1 - q + FOCAL_DELTA).log()) / 2
    assert_is(SoftmaxFocalLoss()(logits, target), expected.mean().item())


# Dice summed over classes and pixels together


def dice_of_everything(logits, target):
    p = np.stack([softmax(photo) for photo in array(logits)])
    y = np.stack([target.numpy() == c for c in range(p.shape[1])], axis=1)
    return 1 - 2 * (p * y).sum() / (p.sum() + y.sum())


def test_dice_summed_over_classes_is_one_minus_the_mean_probability_of_being_right():
    logits, target = data()
    right = [p[label, i] for p, y in photos(logits, target) for i, label in enumerate(y)]
    assert dice_of_everything(logits, target) == pytest.approx(1 - np.mean(right), abs=1e-12)


@pytest.mark.parametrize('over_batch', [False, True])
def test_dice_sees_a_small_target_that_the_sum_over_classes_does_not(over_batch):
    target = torch.zeros(1, 20, 20, dtype=torch.long)
    target[0, 3:5, 3:5] = 1
    found = 10 * torch.stack([1 - target, target], dim=1).double()
    missed = torch.zeros_like(found)
    missed[:, 0] = 10
    gain = dice_of_everything(missed, target) - dice_of_everything(found, target)
    assert gain < 0.011  # 4 of 400 pixels
    loss = MultiClassDiceLoss(over_batch=over_batch)
    assert loss(missed, target) - loss(found, target) > 0.45


@pytest.mark.parametrize('loss', [CombineLoss, DiceBoundaryLoss])
def test_a_logit_of_the_target_alone_is_one_of_two(loss):
    """The background's is then 0."""
    torch.manual_seed(0)
    logit, target = torch.randn(2, 1, 8, 8), torch.randint(0, 2, (2, 8, 8))
    target[0, :2] = IGNORE
    one, two = (loss()(x, target) for x in (logit, torch.cat([torch.zeros_like(logit), logit], dim=1)))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
