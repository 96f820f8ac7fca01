"""The boundary term of Table 8 on masks made by hand."""

from itertools import product

import numpy as np
import pytest
import torch
from by_hand import array, softmax

from mgfe_ris.models.losses import BoundaryF1Loss, DiceBoundaryLoss, MultiClassDiceLoss
from mgfe_ris.models.losses.boundary import _boundary

SURE, IGNORE = 40.0, 255


def mask(text: str) -> torch.Tensor:
    """Lines of . and # -> (1, H, W) int64."""
    return torch.tensor([[int(c == '#') for c in line.strip()] for line in text.split()])[None]


def certain(target: torch.Tensor) -> torch.Tensor:
    """Logits of a model that says this."""
    return torch.stack([(1 - target) * SURE, target * SURE], 1).double()


SQUARE = mask('........ .#####.. .#####.. .#####.. .#####.. .#####.. ........ ........')


def test_the_boundary_is_the_ring_of_pixels_inside():
    ring = mask('........ .#####.. .#...#.. .#...#.. .#...#.. .#####.. ........ ........')
    everywhere = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    assert torch.equal(_boundary(SQUARE[:, None].double(), everywhere), ring[:, None].double())
    assert _boundary(torch.ones(1, 1, 8, 8), everywhere).sum() == 0, "the photo's border is none"


def around(x, i, j, reach):
    """The values of a window, as far as it is inside the map."""
    return x[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]


def boundary_f1(logits, target):
    """The equations, pixel by pixel, where only what is not ignored has neighbours."""
    losses = []
    for (scores, labels), c in product(zip(array(logits), target.numpy(), strict=True), range(2)):
        valid, sides = labels != IGNORE, []
        for x in (softmax(scores)[c], (labels == c).astype(float)):
            b = np.zeros(x.shape)
            for i, j in zip(*np.nonzero(valid), strict=True):
                b[i, j] = max(1 - around(x, i, j, 1)[around(valid, i, j, 1)]) - (1 - x[i, j])
            near = np.array([[around(b, i, j, 2).max() for j in range(b.shape[1])] for i in range(b.shape[0])])
            sides.append((b, near))
        (p, near_p), (y, near_y) = sides
        precision, recall = (p * near_y).sum() / p.sum(), (y * near_p).sum() / y.sum()
        losses.append(1 - 2 * precision * recall / (precision + recall))
    return np.mean(losses)


def some_logits(ignored):
    """Two photos of 7 x 5, of which a part is near a boundary."""
    logits = torch.randn(2, 2, 7, 5, dtype=torch.float64)
    target = torch.zeros(2, 7, 5, dtype=torch.long)
    target[0, :2, :3] = target[1, 3:, 2:] = 1
    target[0, 1, :ignored] = target[1, 4, :ignored] = IGNORE
    return logits, target


@pytest.mark.parametrize('ignored', [0, 3, 5], ids='ignored={}'.format)
def test_of_probabilities_it_agrees_with_the_equations(ignored):
    logits, target = some_logits(ignored)
    loss = BoundaryF1Loss(delta=0)
    assert loss(logits, target).item() == pytest.approx(boundary_f1(logits, target), rel=0, abs=1e-12)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


def test_right_is_0_and_two_pixels_aside_are_as_good():
    loss = BoundaryF1Loss()
    assert loss(certain(SQUARE), SQUARE).item() == pytest.approx(0, abs=1e-5)
    one_aside = mask('........ ..#####. ..#####. ..#####. ..#####. ..#####. ........ ........')
    assert loss(certain(one_aside), SQUARE).item() == pytest.approx(0, abs=1e-5)


def test_far_away_is_1_and_half_is_counted_by_hand():
    loss = BoundaryF1Loss()
    wide = torch.zeros(1, 20, 20, dtype=torch.long)
    left, right = wide.clone(), wide.clone()
    left[:, 2:6, 2:6] = 1
    right[:, 12:16, 12:16] = 1
    assert loss(certain(right), left).item() == pytest.approx(1, abs=1e-4)
    both = left | right  # all of the truth's boundary is found, and half of what is said is true, of either class
    precision, recall = 0.5, 1.0
    expected = 1 - 2 * precision * recall / (precision + recall)
    assert loss(certain(both), left).item() == pytest.approx(expected, abs=1e-5)


def test_ignored_pixels_count_nowhere():
    far = torch.zeros(1, 20, 20, dtype=torch.long)
    far[:, 2:6, 2:6] = 1
    said = far.clone()
    said[:, 12:16, 12:16] = 1
    target = far.clone()
    target[:, 10:18, 10:18] = IGNORE
    assert BoundaryF1Loss()(certain(said), target).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize('said', [0, 1], ids='said={}'.format)
def test_an_ignored_stripe_across_the_target_is_no_outside(said):
    target = torch.zeros(1, 20, 20, dtype=torch.long)
    target[:, 4:16, 4:16] = 1
    right = target.clone()
    target[:, :, 9:11] = IGNORE
    right[:, :, 9:11] = said
    assert BoundaryF1Loss()(certain(right), target).item() == pytest.approx(0, abs=1e-5)


def test_ignored_pixels_have_no_gradient_and_change_nothing():
    logits, target = some_logits(ignored=3)
    ignored = (target == IGNORE)[:, None].expand_as(logits)
    before = BoundaryF1Loss()(logits.requires_grad_(), target)
    before.backward()
    assert logits.grad[ignored].eq(0).all() and logits.grad[~ignored].ne(0).any()
    changed = torch.where(ignored, 50 * torch.randn_like(logits), logits)
    assert BoundaryF1Loss()(changed, target) == before


@pytest.mark.parametrize('label', [0, 1, IGNORE], ids='label={}'.format)
def test_photos_whose_truth_has_no_boundary_cost_1_and_have_no_gradient(label):
    logits = torch.randn(3, 2, 8, 8, requires_grad=True)
    without = torch.full((2, 8, 8), label)
    loss = BoundaryF1Loss()(logits, torch.cat([SQUARE, without]))
    torch.testing.assert_close(loss, (BoundaryF1Loss()(logits[:1], SQUARE) + 2) / 3)
    loss.backward()
    assert logits.grad[0].any() and logits.grad[1:].eq(0).all()


def test_it_pulls_the_boundary_towards_the_truth():
    logits = torch.zeros(1, 2, 8, 8, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    loss = DiceBoundaryLoss(weight=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        sum(loss(logits, SQUARE).values()).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(1), SQUARE)


def test_the_sum_of_both_terms_by_weight():
    logits, target = torch.randn(2, 2, 8, 8), torch.randint(0, 2, (2, 8, 8))
    found = DiceBoundaryLoss(weight=0.3, dice=dict(squared=True))(logits, target)
    assert found['loss_dice'] == MultiClassDiceLoss(squared=True)(logits, target)
    assert found['loss_boundary'] == 0.3 * BoundaryF1Loss()(logits, target)
    assert DiceBoundaryLoss()(logits, target)['loss_boundary'] == 0.05 * BoundaryF1Loss()(logits, target)
