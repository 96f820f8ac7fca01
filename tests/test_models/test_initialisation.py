"""What is not pretrained begins as in the official code: its statistics, tensor by tensor."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mgfe_ris.apis import build_model, load_config
from mgfe_ris.models.checkpoints import to_lavt

STATISTICS = Path(__file__).parents[3] / 'shared/fixtures/lavt_init_stats.json'


@pytest.fixture(scope='module')
def begun() -> dict[str, Tensor]:
    """Our LAVT at full size, from random weights, under the official names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(load_config('lavt_swin-base_refcoco', from_scratch=True))
        model.init_weights()
    return to_lavt(model.state_dict())['model']


@pytest.mark.parametrize(
    ('name', 'std'),
    [
        ('backbone.layers.0.res_gate.0.weight', 0.02),
        ('backbone.layers.3.res_gate.2.weight', 0.02),
        ('backbone.layers.2.blocks.5.attn.relative_position_bias_table', 0.02),
        ('backbone.layers.2.blocks.5.mlp.fc1.weight', 0.02),
        ('classifier.conv1_4.weight', (1 / 3 / (1536 * 9)) ** 0.5),  # uniform, with the bound 1 / sqrt(fan in)
        ('backbone.layers.3.fusion.image_lang_att.f_key.0.weight', (1 / 3 / 768) ** 0.5),
        ('backbone.layers.3.fusion.project_mm.0.weight', (1 / 3 / 1024) ** 0.5),
    ],
)
def test_a_part_begins_with_its_deviation(begun, name, std):
    assert begun[name].std().item() == pytest.approx(std, rel=0.03)


def test_every_part_begins_with_the_recorded_distribution(begun):
    """Within 3 %; or, of a small tensor, within five deviations of the difference of two draws."""
    if not STATISTICS.is_file():
        pytest.skip(f'{STATISTICS} is not there: statistics of the official code')
    recorded = json.loads(STATISTICS.read_text())['parameters']
    computed = 'relative_position_index', 'attn_mask', 'num_batches_tracked'
    assert {name for name in begun if not name.endswith(computed)} == recorded.keys()
    wrong = []
    for name, theirs in recorded.items():
        ours = begun[name].double()
        assert list(ours.shape) == theirs['shape'], name
        # of the difference of two means, in standard deviations; of two deviations, relative, 1 / sqrt(2) of that
        noise = 5 * math.sqrt(2 / ours.numel())
        if theirs['std'] == 0:  # a constant
            right = bool((ours == theirs['mean']).all())
        else:
            std, mean = ours.std().item(), ours.mean().item()
            right = (
                abs(std / theirs['std'] - 1) <= max(0.03, noise / math.sqrt(2))
                and abs(mean - theirs['mean']) <= noise * std
            )
            right &= within_bounds(ours, theirs)
        if not right:
            wrong.append(f'{name}: {ours.mean():.5f} +- {ours.std():.5f}, theirs {theirs}')
    assert not wrong


def within_bounds(ours: Tensor, theirs: dict) -> bool:
    """A uniform distribution of enough numbers reaches its bound; trunc_normal_ is cut at 2, a hundred deviations."""
    reached = max(abs(theirs['min']), abs(theirs['max']))
    if reached > 2.5 * theirs['std']:
        return ours.abs().max().item() <= 2
    tolerance = max(0.03, 10 / ours.numel())
    return abs(ours.abs().max().item() / reached - 1) <= tolerance
