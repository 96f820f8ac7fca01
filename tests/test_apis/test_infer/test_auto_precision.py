"""Whether bf16 pays: decided by seconds, which are given here, and once by those of this machine."""

import pytest
import torch

from mgfe_ris.apis.infer import precision
from mgfe_ris.apis.infer.precision import HOPELESS, bf16_pays, choose_precision, time_products

CPU, GPU = torch.device('cpu'), torch.device('cuda')
STALLS = [(1.0, 1.0)] * 5 + [(9.0, 1.0)] * 4
"""Float32 is as fast, and was held up four times of nine."""


@pytest.mark.parametrize(
    ('device', 'pairs', 'pays'),
    [
        (CPU, {128: [(1.0, 1.5)], 384: [(1.0, 0.55)]}, True),  # small products are no measure
        (CPU, {128: [(1.0, 0.5)], 384: [(1.0, 0.9)]}, False),  # not by enough
        (CPU, {128: [(1.0, 25.0)]}, False),  # and a larger one is not tried, which would take seconds
        (CPU, {128: [(1.0, HOPELESS)], 384: STALLS}, False),
        (CPU, {128: [(1.0, 1.0)], 384: [(1.0, 0.5)] * 5 + [(1.0, 7.0)] * 4}, True),
        (GPU, {2048: [(1.0, 0.1)]}, True),
        (GPU, {2048: [(1.0, 6.0)]}, False),  # one that has no bf16, and does it in float32
    ],
)
def test_seconds_decide(device, pairs, pays):
    asked = []
    assert bf16_pays(device, lambda on, side: asked.append((on, side)) or pairs[side]) is pays
    assert asked == [(device, side) for side in pairs]


def test_it_is_measured_once(monkeypatch):
    sides = []
    monkeypatch.setattr(precision, 'time_products', lambda device, side: sides.append(side) or [(1.0, 0.5)])
    choose_precision.cache_clear()
    try:
        assert [choose_precision(CPU) for _ in range(3)] == ['bf16'] * 3
        assert sides == list(precision.SIDES['cpu'])
    finally:
        choose_precision.cache_clear()


def test_seconds_of_this_machine():
    pairs = time_products(CPU, 32)
    assert len(pairs) == precision.PAIRS and all(whole > 0 and half > 0 for whole, half in pairs)
    assert choose_precision(CPU) in ('fp32', 'bf16')
