"""The losses against eqs. 16 to 23 (method 5), and the two errors that a literal reading makes."""

import math

import numpy as np
import pytest
import torch
from by_hand import array, softmax

from mgfe_ris.models.losses import (
    CombineLoss,
    MultiClassDiceLoss,
    SoftmaxFocalLoss,
    WeightedCrossEntropyLoss,
)

DELTA = 1e-6
IGNORE = 255


def photos(logits, target):
    """Per photo: softmax (C, pixels) and labels (pixels), of the pixels that count."""
    for scores, labels in zip(array(logits), target.numpy(), strict=True):
        counts = labels != IGNORE
        yield softmax(scores[:, counts]), labels[counts]


def dice(p, labels):
    losses = []
    for c in range(len(p)):
        overlap = sum(p[c, i] for i in range(len(labels)) if labels[i] == c)
        total = sum(p[c]) + sum(labels == c)
        losses.append(1 - 2 * overlap / (total + DELTA))
    return np.mean(losses)


def mean_dice(logits, target):
    return np.mean([dice(p, labels) for p, labels in photos(logits, target)])


def dice_over_batch(logits, target):
    probabilities, labels = zip(*photos(logits, target), strict=True)
    return dice(np.concatenate(probabilities, 1), np.concatenate(labels))


def focal(logits, target, alpha=0.25, gamma=2.0):
    losses = []
    for p_s, labels in photos(logits, target):
        for c, i in np.ndindex(p_s.shape):
            p = p_s[c, i] if labels[i] == c else 1 - p_s[c, i]
            losses.append(-alpha * (1 - p) ** gamma * math.log(p + DELTA))
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
    'dice over batch': (MultiClassDiceLoss(over_batch=True), dice_over_batch),
    'focal': (SoftmaxFocalLoss(), focal),
    'focal, other': (SoftmaxFocalLoss(alpha=0.6, gamma=1), lambda x, y: focal(x, y, 0.6, 1)),
    # weights that fp32 holds exactly: the loss keeps them so
    'cross entropy': (
        WeightedCrossEntropyLoss((0.75, 1.5)),
        lambda x, y: cross_entropy(x, y, (0.75, 1.5)),
    ),
}
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


@pytest.mark.parametrize('name', ['dice', 'dice over batch', 'focal'])
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


def test_the_default_weights_of_cross_entropy_are_the_baselines():
    logits, target = data(ignored=2)
    expected = cross_entropy(logits, target, (0.9, 1.1))
    assert WeightedCrossEntropyLoss()(logits, target).item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ('ratio', 'alpha', 'beta'),
    [(0.25, 0.2, 0.8), (1 / 3, 0.25, 0.75), (1, 0.5, 0.5), (3, 0.75, 0.25), (4, 0.8, 0.2)],
)
def test_the_combined_loss_weighs_its_terms_by_the_ratio(ratio, alpha, beta):
    logits, target = data(ignored=3)
    losses = CombineLoss(ratio=ratio)(logits, target)
    assert losses.keys() == {'loss_dice', 'loss_focal'}
    assert_is(losses['loss_dice'], alpha * mean_dice(logits, target))
    assert_is(losses['loss_focal'], beta * focal(logits, target))


def test_the_total_scales_both_terms():
    logits, target = data(ignored=3)
    losses, large = CombineLoss()(logits, target), CombineLoss(total=4)(logits, target)
    assert large.keys() == losses.keys()
    for name, value in losses.items():
        assert_is(large[name], 4 * value.item())


def test_adamw_does_not_see_the_total():
    start, target = data()
    ends = []
    for total in (1.0, 4.0):
        logits = start.clone().requires_grad_()
        optimizer, loss = torch.optim.AdamW([logits], lr=0.1, eps=1e-16), CombineLoss(total=total)
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
        ratio=1,
        dice=dict(type='MultiClassDiceLoss', over_batch=True),
        focal=dict(type='SoftmaxFocalLoss', gamma=0.0),
    )
    losses = loss(logits, target)
    assert_is(losses['loss_dice'], dice_over_batch(logits, target) / 2)
    assert_is(losses['loss_focal'], focal(logits, target, gamma=0) / 2)


def test_gradients_of_the_combined_loss_agree_with_finite_differences():
    logits, target = data(ignored=2)
    loss = CombineLoss()
    assert torch.autograd.gradcheck(lambda x: sum(loss(x, target).values()), logits.requires_grad_())


@pytest.mark.parametrize('ratio', [0, -1, math.nan])
def test_ratio_and_total_must_be_positive(ratio):
    with pytest.raises(ValueError, match='must be positive; got'):
        CombineLoss(ratio=ratio)
    with pytest.raises(ValueError, match='must be positive; got'):
        CombineLoss(total=ratio)


# The erratum of eq. 22. One pixel of class 1; x is the logit of the wrong class 0, for which y = 0


def slope_at(x, loss):
    """d loss / d x, for logits (x, 0)."""
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    loss(x).backward()
    return x.grad.item()


def as_written(gamma):
    """The y = 0 term of eqs. 21 to 23 with the p of eq. 20 in y ln(p + d) + (1 - y) ln(1 - p + d)."""

    def loss(x):
        p_s = torch.sigmoid(x)
        p = 1 - p_s
        return -0.25 * (1 - p) ** gamma * torch.log(1 - p + DELTA)

    return loss


def ours(gamma):
    def loss(x):
        logits = torch.stack([x, torch.zeros_like(x)])[None, :, None, None]
        return SoftmaxFocalLoss(gamma=gamma)(logits, torch.ones(1, 1, 1, dtype=torch.long))

    return loss


@pytest.mark.parametrize('x', [-4.0, -1.0, 0.0, 1.0, 4.0])
def test_eq_22_as_written_pushes_the_wrong_class_up_and_ours_down(x):
    # descent moves the logit against the slope; gamma = 0 leaves the logarithm alone
    assert slope_at(x, as_written(gamma=0)) < 0 < slope_at(x, ours(gamma=0))


@pytest.mark.parametrize('x', [0.5, 1.0, 4.0])
def test_eq_22_as_written_strengthens_a_confident_mistake_in_spite_of_the_focus(x):
    # with gamma = 2 from p_s = exp(-1/2) = 0.607 (x = 0.433) on, where it would matter most
    assert slope_at(x, as_written(gamma=2)) < 0 < slope_at(x, ours(gamma=2))


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
