"""Gradients of two processes are those of one with the same global batch."""

from multiprocessing import get_context
from pathlib import Path
from socket import socket

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mgfe_ris.apis import build_model, load_config
from mgfe_ris.structures import SegDataSample

LOSSES = [
    dict(type='WeightedCrossEntropyLoss'),
    dict(type='CombineLoss'),
    dict(type='CombineLoss', dice=dict(type='MultiClassDiceLoss', over_batch=True)),
    dict(type='SoftmaxFocalLoss', corrected=True),
    dict(type='MultiClassDiceLoss'),
    dict(type='MultiClassDiceLoss', over_batch=True, squared=True),
    dict(type='BoundaryF1Loss'),
    dict(type='DiceBoundaryLoss'),
    dict(type='BinaryCrossEntropy'),
]
SHARES = [slice(0, 2), slice(2, 5)]
"""Of five samples, in two processes: the first one has less, and more of its pixels are ignored."""


def batch() -> tuple[Tensor, ...]:
    """Photos (5, 3, 64, 64), words (5, 4) and targets (5, 64, 64)."""
    draw = torch.Generator().manual_seed(0)
    photos = torch.randn(5, 3, 64, 64, generator=draw, dtype=torch.float64)
    target = (torch.rand(5, 8, 8, generator=draw) < 0.3).long().repeat_interleave(8, 1).repeat_interleave(8, 2)
    target[0, :40] = 255
    target[4, 60:] = 255
    return photos, torch.arange(20).view(5, 4) % 7 + 5, target


class Model(nn.Module):
    """One convolution, or the small segmentor, and a loss."""

    def __init__(self, loss: dict, small_model: dict | None):
        super().__init__()
        torch.manual_seed(1)
        self.segmentor = None
        if small_model is None:
            classes = 1 if loss['type'] == 'BinaryCrossEntropy' else 2
            self.convolution, self.loss = nn.Conv2d(3, classes, 3, padding=1), MODELS.build(loss)
        else:
            cfg = load_config('mgfe-ris_tiny_refshapes', small_model)
            cfg.model.loss = loss
            self.segmentor = build_model(cfg)
            self.segmentor.init_weights()
        self.eval()  # a norm of the batch is another matter
        self.double()

    def forward(self, photos: Tensor, words: Tensor, target: Tensor) -> Tensor:
        if self.segmentor is None:
            loss = self.loss(self.convolution(photos), target)
        else:
            samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in target]
            loss = self.segmentor(photos, words, torch.ones_like(words).bool(), samples, mode='loss')
        return sum(loss.values()) if isinstance(loss, dict) else loss


def models(small_model: dict) -> list[Model]:
    return [Model(loss, None) for loss in LOSSES] + [Model(loss, small_model) for loss in LOSSES[:2]]


def gradients(model: nn.Module, *batch: Tensor) -> tuple[float, list[Tensor]]:
    loss = model(*batch)
    loss.backward()
    return loss.item(), [p.grad for p in model.parameters() if p.grad is not None]


def in_process(rank: int, port: int, folder: Path, small_model: dict) -> None:
    where = f'tcp://127.0.0.1:{port}'
    torch.distributed.init_process_group('gloo', init_method=where, rank=rank, world_size=len(SHARES))
    found = []
    for model in models(small_model):
        wrapped = DistributedDataParallel(model, find_unused_parameters=True)
        found.append(gradients(wrapped, *(part[SHARES[rank]] for part in batch())))
    torch.save(found, folder / f'{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_processes_are_one(small_model, one_thread, tmp_path):
    alone = [gradients(model, *batch()) for model in models(small_model)]
    with socket() as one:
        one.bind(('127.0.0.1', 0))
        port = one.getsockname()[1]
    arguments = (port, tmp_path, small_model)
    children = [get_context('fork').Process(target=in_process, args=(rank, *arguments)) for rank in range(len(SHARES))]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0]
    for rank in range(len(SHARES)):
        for (loss, found), (expected_loss, expected) in zip(torch.load(tmp_path / f'{rank}.pth'), alone, strict=True):
            assert loss == pytest.approx(expected_loss, rel=1e-12), 'what is logged'
            assert len(found) == len(expected)
            largest = max(gradient.abs().max() for gradient in expected)
            assert largest > 0
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9 * largest.item())
