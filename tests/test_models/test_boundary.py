"""The boundary term of Table 8 on masks made by hand."""

import pytest
import torch

from mgfe_ris.models.losses import BoundaryF1Loss, DiceBoundaryLoss, MultiClassDiceLoss

SURE = 40.0


def mask(text: str) -> torch.Tensor:
    """Lines of . and # -> (1, H, W) int64."""
    return torch.tensor([[int(c == '#') for c in line.strip()] for line in text.split()])[None]


def certain(target: torch.Tensor) -> torch.Tensor:
    """Logits of a model that says this."""
    return torch.stack([(1 - target) * SURE, target * SURE], 1).double()


SQUARE = mask('........ .#####.. .#####.. .#####.. .#####.. .#####.. ........ ........')


def test_the_boundary_is_the_ring_of_pixels_inside():
    from mgfe_ris.models.losses.boundary import _boundary

    ring = mask('........ .#####.. .#...#.. .#...#.. .#...#.. .#####.. ........ ........')
    assert torch.equal(_boundary(SQUARE[:, None].double()), ring[:, None].double())
    whole = torch.ones(1, 1, 4, 4)
    assert _boundary(whole).sum() == 0, "the photo's border is none"


def test_right_is_0_near_is_as_good_and_what_is_not_found_counts():
    loss = BoundaryF1Loss()
    assert loss(certain(SQUARE), SQUARE).item() == pytest.approx(0, abs=1e-5)
    larger = mask('######## ######## ######## ######## ######## ######## ........ ........')
    one_aside = mask('........ ..#####. ..#####. ..#####. ..#####. ..#####. ........ ........')
    assert loss(certain(one_aside), SQUARE).item() == pytest.approx(0, abs=1e-5)
    # only its lower end is a boundary: all of it near the square's, and near it 9 of the square's 16
    assert loss(certain(larger), SQUARE).item() == pytest.approx(1 - 2 * (9 / 16) / (1 + 9 / 16), abs=1e-5)


def test_far_away_is_1_and_half_is_counted_by_hand():
    loss = BoundaryF1Loss()
    wide = torch.zeros(1, 20, 20, dtype=torch.long)
    left, right = wide.clone(), wide.clone()
    left[:, 2:6, 2:6] = 1
    right[:, 12:16, 12:16] = 1
    assert loss(certain(right), left).item() == pytest.approx(1, abs=1e-4)
    both = left | right  # all of the truth's boundary is found, and half of what is said is true
    precision, recall = 0.5, 1.0
    expected = 1 - 2 * precision * recall / (precision + recall)
    assert loss(certain(both), left).item() == pytest.approx(expected, abs=1e-5)


def test_ignored_pixels_count_nowhere():
    far = torch.zeros(1, 20, 20, dtype=torch.long)
    far[:, 2:6, 2:6] = 1
    said = far.clone()
    said[:, 12:16, 12:16] = 1
    target = far.clone()
    target[:, 10:18, 10:18] = 255
    assert BoundaryF1Loss()(certain(said), target).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize('empty', [0, 1])
def test_no_boundary_at_all_is_finite(empty):
    logits = torch.randn(2, 2, 6, 6, requires_grad=True)
    loss = BoundaryF1Loss()(logits, torch.full((2, 6, 6), empty))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_it_pulls_the_boundary_towards_the_truth():
    logits = torch.zeros(1, 2, 8, 8, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    loss = DiceBoundaryLoss()
    for _ in range(200):
        optimizer.zero_grad()
        sum(loss(logits, SQUARE).values()).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(1), SQUARE)


def test_the_sum_of_both_terms_by_weight():
    logits, target = torch.randn(2, 2, 8, 8), torch.randint(0, 2, (2, 8, 8))
    found = DiceBoundaryLoss(weight=0.3)(logits, target)
    assert found['loss_dice'] == MultiClassDiceLoss()(logits, target)
    assert found['loss_boundary'] == 0.3 * BoundaryF1Loss()(logits, target)
