"""Pictures of a test: one per sentence and split."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mgfe_ris.visualization import PictureHook, compare


def runner(split: str) -> SimpleNamespace:
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(split=split)))
    return SimpleNamespace(test_dataloader=loader, test_loop=SimpleNamespace(dataloader=loader))


@pytest.fixture
def outputs(tmp_path) -> list[SegDataSample]:
    """Two sentences of one photo and one of another."""
    made = []
    for photo, sent_id in [('a', 3), ('a', 4), ('b', 5)]:
        path = tmp_path / f'{photo}.png'
        Image.effect_noise((40, 30), 90).convert('RGB').save(path)
        sample = SegDataSample(metainfo=dict(img_path=str(path), sent_id=sent_id, sentence=f'dog {sent_id}'))
        truth = torch.zeros(1, 8, 8, dtype=torch.long)
        truth[:, :4] = 1
        sample.gt_sem_seg = PixelData(data=truth)
        sample.pred_sem_seg = PixelData(data=truth.roll(sent_id, dims=1))
        made.append(sample)
    return made


def test_two_sentences_never_overwrite_each_other(outputs, tmp_path):
    hook = PictureHook(str(tmp_path / 'new/pictures'))
    for split in ('val', 'val-shuffled'):
        hook.after_test_iter(runner(split), 0, outputs=outputs[:2])
        hook.after_test_iter(runner(split), 1, outputs=outputs[2:])
    written = sorted(str(p.relative_to(tmp_path / 'new/pictures')) for p in (tmp_path / 'new').rglob('*.png'))
    names = ['a_3.png', 'a_4.png', 'b_5.png']
    assert written == [f'val-shuffled/{name}' for name in names] + [f'val/{name}' for name in names]


def test_what_a_picture_shows(outputs, tmp_path):
    PictureHook(str(tmp_path)).after_test_iter(runner('val'), 0, outputs=outputs)
    sample = outputs[1]
    masks = [m.data[0].numpy() == 1 for m in (sample.gt_sem_seg, sample.pred_sem_seg)]
    expected = compare(np.asarray(Image.open(tmp_path / 'a.png')), 'dog 4', *masks, iou=0.0)
    np.testing.assert_array_equal(Image.open(tmp_path / 'val/a_4.png'), expected)
