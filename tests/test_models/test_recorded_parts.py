"""The parts that the paper's experiments exchange, against numbers recorded from its code base."""

from pathlib import Path

import pytest
import torch

from mgfe_ris.models.checkpoints import from_attention
from mgfe_ris.models.fusion import BidirectionalAttention, CoAttention, CollectDiffuseAttention
from mgfe_ris.models.losses import (
    BoundaryF1Loss,
    CombineLoss,
    DiceBoundaryLoss,
    MultiClassDiceLoss,
    WeightedCrossEntropyLoss,
)

FIXTURES = Path(__file__).parents[3] / 'shared/fixtures'
RECORDS = sorted(FIXTURES.glob('lavt_rs*.pt'))
recorded = pytest.mark.parametrize(
    'path',
    RECORDS or [pytest.param(None, marks=pytest.mark.skip(f'{FIXTURES} is not there: recorded numbers'))],
    ids=lambda path: path.stem if path else 'none',
)

SQUARED = dict(type='MultiClassDiceLoss', squared=True)
LOSSES = {
    'ce': lambda: WeightedCrossEntropyLoss((0.9, 1.1)),
    'mc_dice': lambda: MultiClassDiceLoss(squared=True),
    'dice_focal': lambda: CombineLoss(dice=SQUARED),
    'dice_focal_1_1': lambda: CombineLoss(1, 1, dice=SQUARED),
    'dice_boundary': lambda: DiceBoundaryLoss(dice=SQUARED),
    'boundary': BoundaryF1Loss,
}


@recorded
def test_recorded_losses(path):
    for case in torch.load(path, weights_only=True)['losses']:
        for name, expected in case['values'].items():
            logits = case['logits'].clone().requires_grad_()
            found = LOSSES[name]()(logits, case['target'])
            found = sum(found.values()) if isinstance(found, dict) else found
            found.backward()
            assert found.item() == pytest.approx(float(expected), rel=0, abs=1e-12), name
            torch.testing.assert_close(logits.grad, case['grads'][name], rtol=0, atol=1e-12, msg=name)


def built(kind: str, channels: int, text_channels: int, size: tuple[int, int]) -> torch.nn.Module:
    if kind == 'bcam':
        return BidirectionalAttention(channels, text_channels, size)
    return {'efn': CoAttention, 'gacd': CollectDiffuseAttention}[kind](channels, text_channels)


@recorded
def test_recorded_fusions(path):
    for case in torch.load(path, weights_only=True)['fusions']:
        size, kind = tuple(case['map']), case['kind']
        module = built(kind, case['dim'], case['text'], size)
        module.load_state_dict(from_attention(case['state_dict']))  # every key, on both sides
        module.double()
        x, words, mask = (case['inputs'][name] for name in ('x', 'words', 'mask'))
        x = x.double().requires_grad_()
        g = module(x.mT.unflatten(2, size), words.double(), mask).flatten(2).mT
        torch.testing.assert_close(g, case['output'], rtol=0, atol=1e-10, msg=kind)
        (g * case['weight']).sum().backward()
        torch.testing.assert_close(x.grad, case['grad_x'], rtol=0, atol=1e-10, msg=kind)
        grads = from_attention({name: grad.double() for name, grad in case['grads'].items()})
        assert grads.keys() == dict(module.named_parameters()).keys()
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(parameter.grad, grads[name], rtol=0, atol=1e-10, msg=f'{kind} {name}')
