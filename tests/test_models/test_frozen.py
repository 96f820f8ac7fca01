"""What training leaves as it is."""

import pytest
import torch
from torch import nn

from mgfe_ris.models.frozen import freeze, hold_statistics


def _module() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))


def test_freeze_all_and_all_but_some():
    module = _module()
    freeze(module)
    assert not any(p.requires_grad for p in module.parameters())
    freeze(module, but=r'^[23]\.weight')
    assert [name for name, p in module.named_parameters() if p.requires_grad] == ['2.weight', '3.weight']


def test_a_pattern_of_no_name_is_refused():
    with pytest.raises(ValueError, match=r"'position' is in no name of a parameter of Sequential"):
        freeze(_module(), but='position')


def test_statistics_of_frozen_norms_stay():
    module = _module()
    freeze(module, but=r'^3\.')
    module.train()
    hold_statistics(module)
    module(torch.randn(2, 3, 5, 5))
    assert module[1].running_mean.eq(0).all() and module[1].num_batches_tracked == 0
    assert module[3].running_mean.ne(0).all() and module[3].num_batches_tracked == 1
