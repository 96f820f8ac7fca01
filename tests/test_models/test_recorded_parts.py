"""The parts that the paper's experiments exchange, against numbers recorded from its code base."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mgfe_ris.apis import find_rows, load_config
from mgfe_ris.models.checkpoints import from_attention
from mgfe_ris.models.fusion import BidirectionalAttention, CoAttention, CollectDiffuseAttention
from mgfe_ris.models.losses import BoundaryF1Loss, CombineLoss

FIXTURES = Path(__file__).parents[3] / 'shared/fixtures'
RECORDS = sorted(FIXTURES.glob('lavt_rs*.pt'))
recorded = pytest.mark.parametrize(
    'path',
    RECORDS or [pytest.param(None, marks=pytest.mark.skip(f'{FIXTURES} is not there: recorded numbers'))],
    ids=lambda path: path.stem if path else 'none',
)


def row(table: str, name: str) -> Any:
    """The loss of a row of the paper's tables, as its config says."""
    return MODELS.build(load_config(find_rows(table)[name]).model.loss)


def loss_named(name: str) -> Any:
    """What the record's names stand for; ``dice_focal`` has the weights of the full model, others say theirs."""
    rows = {
        'ce': ('table8', '1_cross-entropy'),
        'mc_dice': ('table8', '2_dice'),
        'dice_boundary': ('table8', '3_dice-boundary'),
        'dice_focal': ('table8', '6_dice-squared'),
    }
    if name in rows:
        return row(*rows[name])
    if name == 'boundary':
        return BoundaryF1Loss()
    if weights := re.fullmatch(r'dice_focal_(\d+)_(\d+)', name):
        return CombineLoss(int(weights[1]), int(weights[2]), dice=dict(type='MultiClassDiceLoss', squared=True))
    raise ValueError(f'the record holds a loss {name!r}, which nothing here computes')


def cases_of(path: Path, kind: str) -> list[dict]:
    cases = torch.load(path, weights_only=True).get(kind)
    if not cases:
        pytest.skip(f'{path} has no {kind}')
    return cases


@recorded
def test_recorded_losses(path):
    for case in cases_of(path, 'losses'):
        for name, expected in case['values'].items():
            logits = case['logits'].clone().requires_grad_()
            found = loss_named(name)(logits, case['target'])
            found = sum(found.values()) if isinstance(found, dict) else found
            found.backward()
            assert found.item() == pytest.approx(float(expected), rel=0, abs=1e-12), name
            assert_near(logits.grad, case['grads'][name], 1e-12, name)


def assert_near(found: Tensor, expected: Tensor, bound: float, name: str) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=bound, msg=lambda text: f'{name}: {text}')


@pytest.mark.parametrize(
    ('name', 'weights'),
    [
        ('1_ratio-1-4', (1, 4)),
        ('2_ratio-1-3', (1, 3)),
        ('3_ratio-1-1', (1, 1)),
        ('4_ratio-3-1', (3, 1)),
        ('5_ratio-4-1', (4, 1)),
    ],
)
def test_rows_of_table_9_weigh_by_two_integers(name, weights):
    """The recorded loss is that of such a row, but for Dice, which eq. 19 prints with p and the record has with p^2."""
    loss = row('table9', name)
    logits, target = torch.randn(2, 2, 9, 7).double(), torch.randint(0, 2, (2, 9, 7))
    parts = CombineLoss(1, 1)(logits, target)
    assert list(parts) == ['loss_dice', 'loss_focal']
    for part, weight, found in zip(parts.values(), weights, loss(logits, target).values(), strict=True):
        torch.testing.assert_close(found, weight * part)


def built(kind: str, channels: int, text_channels: int, size: tuple[int, int]) -> torch.nn.Module:
    if kind == 'bcam':
        return BidirectionalAttention(channels, text_channels, size)
    return {'efn': CoAttention, 'gacd': CollectDiffuseAttention}[kind](channels, text_channels)


@recorded
def test_recorded_fusions(path):
    for case in cases_of(path, 'fusions'):
        size, kind = tuple(case['map']), case['kind']
        module = built(kind, case['dim'], case['text'], size)
        module.load_state_dict(from_attention(case['state_dict']))  # every key, on both sides
        module.double()
        x, words, mask = (case['inputs'][name] for name in ('x', 'words', 'mask'))
        x = x.double().requires_grad_()
        g = module(x.mT.unflatten(2, size), words.double(), mask).flatten(2).mT
        assert_near(g, case['output'], 1e-10, kind)
        (g * case['weight']).sum().backward()
        assert_near(x.grad, case['grad_x'], 1e-10, kind)
        grads = from_attention({name: grad.double() for name, grad in case['grads'].items()})
        assert grads.keys() == dict(module.named_parameters()).keys()
        for name, parameter in module.named_parameters():
            assert_near(parameter.grad, grads[name], 1e-10, f'{kind} {name}')
