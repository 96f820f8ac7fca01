"""Losses and gradients that are no numbers: what stops, what is left out, what is saved."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mgfe_ris.checkpoint_files import read_checkpoint, require_finite
from mgfe_ris.engine.non_finite import NonFiniteError, NonFiniteHook, _largest
from mgfe_ris.structures import SegDataSample

NAN, INF = float('nan'), float('inf')


class NanGradient(torch.autograd.Function):
    """1, and a gradient that is no number."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x * 0 + 1

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        return grad * NAN


class Toy(BaseModel):
    """A weight that goes down by the learning rate at each step, and a norm that sees each input."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.other = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm1d(1, affine=False)

    def forward(self, inputs, mode, data_samples=None):
        x = torch.stack(inputs)
        self.norm(x.view(-1, 1))
        loss = self.weight.sum() + self.other * (1 if x.isfinite().all() else x.mean())
        return dict(loss=loss + (NanGradient.apply(self.weight).sum() if (x == -1).any() else 0))


def sample(value: float, i: int) -> dict:
    names = dict(img_path=f'{i}.jpg', sentence=f'thing {i}')
    return dict(inputs=torch.tensor([value, value / 2]), data_samples=SegDataSample(metainfo=names))


def train(
    folder: Path, values: list[float], hook: NonFiniteHook, batch: int = 2, fused: bool = True, **optim
) -> Runner:
    runner = Runner(
        Toy(),
        str(folder),
        train_dataloader=dict(
            batch_size=batch,
            dataset=[sample(value, i) for i, value in enumerate(values)],
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.01, fused=fused), **optim),
        default_scope='mmseg',
        experiment_name=f'{folder.parent.name}_{folder.name}',
        log_level='WARNING',
    )
    runner.register_hook(hook)
    runner.train()
    return runner


@pytest.mark.parametrize(
    ('value', 'reason'),
    [(NAN, 'the loss .*loss nan'), (INF, 'the loss .*loss inf'), (-1.0, 'a gradient is NaN .*loss ')],
)
@pytest.mark.parametrize('clip', [None, dict(max_norm=1.0)])
def test_the_first_one_stops_the_training_and_names_its_samples(tmp_path, value, reason, clip):
    with pytest.raises(NonFiniteError) as error:
        train(tmp_path, [0.1, 0.2, 0.3, value, 0.5, 0.6], NonFiniteHook(), clip_grad=clip)
    said = str(error.value)
    assert re.match(f'step 2, epoch 1: {reason}', said) and '\n' not in said
    assert "samples: 2.jpg 'thing 2', 3.jpg 'thing 3'." in said
    assert not list(tmp_path.glob('*.pth')), 'nothing was saved of an epoch that did not end'


@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('value', [NAN, INF, -1.0])
def test_steps_that_are_left_out_change_nothing(tmp_path, value, fused):
    """The weights end as without their batches; so do the running means, through which they went."""
    bad = train(tmp_path / 'bad', [0.1, 0.2, 0.3, value, 0.5, 0.6], NonFiniteHook(max_skipped=1), fused=fused)
    good = train(tmp_path / 'good', [0.1, 0.2, 0.5, 0.6], NonFiniteHook(), fused=fused)
    for name, ours in bad.model.state_dict().items():
        if 'num_batches' not in name:
            torch.testing.assert_close(ours, good.model.state_dict()[name], rtol=0, atol=0, msg=name)
    (log,) = (tmp_path / 'bad').glob('*/*.log')
    lines = [line for line in log.read_text().splitlines() if 'left out' in line]
    assert 'left out step 2, epoch 1' in lines[0] and "3.jpg 'thing 3'" in lines[0] and '1 of the 1 steps' in lines[0]
    assert '1 steps were left out' in lines[-1]
    require_finite(read_checkpoint(tmp_path / 'bad/epoch_1.pth')['state_dict'], 'x')


def test_on_a_gpu_it_shows_when_losses_are_logged(tmp_path):
    """Steps that follow go on as if it had not been."""

    class OnGPU(NonFiniteHook):
        def before_train(self, runner):
            super().before_train(runner)
            self._at_once, self._interval = False, 100

    with pytest.raises(NonFiniteError, match=r'^step 2, epoch 1: .*This step changed no weight') as error:
        train(tmp_path / 'bad', [0.1, 0.2, 0.3, NAN, 0.5, 0.6], OnGPU())
    found = error.traceback[-1].frame.f_locals['runner'].model
    good = train(tmp_path / 'good', [0.1, 0.2, 0.5, 0.6], NonFiniteHook()).model
    assert torch.equal(found.weight, good.weight) and torch.equal(found.other, good.other)
    assert not list((tmp_path / 'bad').glob('*.pth'))


def test_more_of_them_than_may_be_left_out(tmp_path):
    with pytest.raises(NonFiniteError, match=r'^step 4, .* and 2 such steps were left out before'):
        train(tmp_path, [0.1, 0.2, NAN, 0.4, NAN, 0.6, NAN, 0.8], NonFiniteHook(max_skipped=2))


def test_accumulated_gradients(tmp_path):
    """The samples since the last step are named: any of them may be the one."""
    with pytest.raises(NonFiniteError, match=r"^step 4, .* gradient .*: 2\.jpg 'thing 2', 3\.jpg 'thing 3'\."):
        train(tmp_path, [1.0, 2.0, -1.0, 3.0], NonFiniteHook(), batch=1, accumulative_counts=2)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    class Break(NonFiniteHook):
        def after_train_epoch(self, runner):
            runner.model.weight.data[1] = NAN

    with pytest.raises(NonFiniteError, match=r'1 of the 2 numbers of weight are NaN .*; nothing was saved'):
        train(tmp_path, [0.1, 0.2], Break())
    assert not list(tmp_path.glob('*.pth'))


def test_the_largest_of_all_numbers():
    huge = [torch.full((3,), -3e38), torch.tensor(2.0)]
    assert _largest(huge) == 3e38, 'large gradients are numbers, whose squares are none'
    for bad in (NAN, INF, -INF):
        assert not _largest([torch.ones(2), torch.tensor([1.0, bad])]).isfinite()


def test_very_large_weights_are_weights():
    require_finite({'a': torch.full((9,), 3e38), 'n': torch.tensor(3)}, 'x.pth')
    with pytest.raises(ValueError, match=r'^x\.pth: 2 of the 3 numbers of b are NaN or infinite'):
        require_finite({'a': torch.ones(3), 'b': torch.tensor([NAN, 0, -INF])}, 'x.pth')
