"""Batches in pinned memory: what torch's loader is asked to pin, and where."""

import pytest
import torch
from mmengine.structures import PixelData
from needs import asked_lists
from torch.utils.data._utils.pin_memory import pin_memory

from mgfe_ris.engine import RISRunner
from mgfe_ris.engine.pinned import collate
from mgfe_ris.structures import SegDataSample


def sample(i: int) -> dict:
    truth = PixelData(data=torch.full((1, 2, 3), i))
    data = SegDataSample(metainfo=dict(sentence=f'thing {i}'), gt_sem_seg=truth, extra=torch.tensor(i))
    return dict(inputs=torch.full((3, 2, 3), i, dtype=torch.uint8), data_samples=data)


@asked_lists
def test_photos_and_what_samples_hold_are_pinned(monkeypatch):
    """Without a GPU torch cannot pin: a copy that is counted stands for it."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda self, *_: pinned.append(self.clone()) or pinned[-1])
    batch = pin_memory(collate([sample(1), sample(2)]))
    made = [
        *batch['inputs'],
        *(s.gt_sem_seg.data for s in batch['data_samples']),
        *(s.extra for s in batch['data_samples']),
    ]
    assert len(pinned) == 6 and all(any(tensor is one for one in pinned) for tensor in made)
    for i, (photo, data) in enumerate(zip(batch['inputs'], batch['data_samples'], strict=True), 1):
        assert photo.unique().item() == data.gt_sem_seg.data.unique().item() == data.extra.item() == i
        assert data.sentence == f'thing {i}' and type(data) is SegDataSample


def test_what_else_a_data_set_gives_is_collated_as_mmengine_does():
    assert collate([dict(inputs=1), dict(inputs=2)]) == dict(inputs=[1, 2]) and collate([3, 4]) == [3, 4]


@pytest.mark.parametrize(
    ('cuda', 'settings', 'pins'),
    [
        (True, {}, True),
        (True, dict(pin_memory=False), False),
        (False, {}, False),
        (False, dict(pin_memory=True), False),
    ],
)
def test_loaders_pin_where_there_is_a_gpu(monkeypatch, cuda, settings, pins):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')  # which mmengine's log reads
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = RISRunner.build_dataloader(dict(dataset=[sample(1)], batch_size=1, sampler=sampler, **settings), seed=0)
    assert loader.pin_memory is pins and loader.collate_fn.func is collate
