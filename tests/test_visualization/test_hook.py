"""Pictures of a test, one per sentence and split, and of validations."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from mmseg.structures import SegDataSample
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mgfe_ris.evaluation import RefSegMetric
from mgfe_ris.visualization import PictureHook, ValidationPictureHook, compare, draw, grid, hook


def make_sample(path: Path, sent_id: int, ref_id: int = 1, **changes: torch.Tensor) -> SegDataSample:
    """The truth is the upper half; the prediction is shifted down by as many rows as ``sent_id`` says."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 30), 90).convert('RGB').save(path)
    told = dict(img_path=str(path), img_id=1, ref_id=ref_id, sent_id=sent_id, sentence=f'dog {sent_id} of {ref_id}')
    truth = torch.zeros(1, 8, 8, dtype=torch.long)
    truth[:, :4] = 1
    fields = dict(gt_sem_seg=truth, pred_sem_seg=truth.roll(sent_id, dims=1)) | changes
    sample = SegDataSample(metainfo=told)
    for name, data in fields.items():
        setattr(sample, name, PixelData(data=data))
    return sample


class Samples:
    """A data set."""

    def __init__(self, samples: list[SegDataSample], split: str):
        self.samples, self.metainfo = samples, dict(split=split)

    def __len__(self) -> int:
        return len(self.samples)

    def get_data_info(self, i: int) -> dict:
        sample = self.samples[i]
        return dict(img_path=sample.img_path, ref_id=sample.ref_id, sent_ids=[sample.sent_id])


def run_test(hook: PictureHook, samples: list[SegDataSample], split: str = 'val', batch: int = 2) -> None:
    loader = SimpleNamespace(dataset=Samples(samples, split))
    runner = SimpleNamespace(test_dataloader=loader, test_loop=SimpleNamespace(dataloader=loader))
    hook.before_test_epoch(runner)
    for i in range(0, len(samples), batch):
        hook.after_test_iter(runner, i // batch, outputs=samples[i : i + batch])


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*.png'))


@pytest.fixture
def samples(tmp_path) -> list[SegDataSample]:
    """Two sentences of one photo and one of another."""
    return [make_sample(tmp_path / f'photos/{photo}.png', sent_id) for photo, sent_id in (('a', 3), ('a', 4), ('b', 5))]


# Of a test


def test_two_sentences_never_overwrite_each_other(samples, tmp_path):
    pictures = PictureHook(str(tmp_path / 'new/pictures'))
    for split in ('val', 'val-shuffled'):
        run_test(pictures, samples, split)
    names = ['a_3.png', 'a_4.png', 'b_5.png']
    assert written(tmp_path / 'new/pictures') == [f'{split}/{n}' for split in ('val-shuffled', 'val') for n in names]


def test_ids_that_are_not_unique_keep_their_pictures(tmp_path):
    places = [('x/cup.png', 0, 1), ('y/cup.png', 0, 2), ('y/Cup.png', 0, 3), ('y/cup.png', 1, 2), ('y/cup.png', 0, 4)]
    samples = [make_sample(tmp_path / path, sent_id, ref_id) for path, sent_id, ref_id in places]
    run_test(PictureHook(str(tmp_path / 'all')), samples)
    names = written(tmp_path / 'all')
    assert len(names) == 5 and 'val/cup_1.png' in names
    for rank in range(2):  # which do not know of each other's
        runner_hook = PictureHook(str(tmp_path / 'ranks'))
        loader = SimpleNamespace(dataset=Samples(samples, 'val'))
        runner = SimpleNamespace(test_loop=SimpleNamespace(dataloader=loader))
        runner_hook.before_test_epoch(runner)
        runner_hook.after_test_iter(runner, 0, outputs=samples[rank::2])
    assert written(tmp_path / 'ranks') == names


def test_names_differ_where_files_do_not_tell_a_from_A(tmp_path):
    samples = [make_sample(tmp_path / path, 7) for path in ('x/a.png', 'y/A.png')]
    run_test(PictureHook(str(tmp_path / 'out')), samples)
    assert len({name.casefold() for name in written(tmp_path / 'out')}) == 2


def test_long_names_are_cut(tmp_path):
    long = '😀' * 62
    samples = [make_sample(tmp_path / f'{long}{end}.png', 12345) for end in 'ab']
    run_test(PictureHook(str(tmp_path / 'out')), samples)
    assert len(written(tmp_path / 'out')) == 2


def test_what_a_picture_shows(samples, tmp_path):
    run_test(PictureHook(str(tmp_path)), samples)
    masks = [m.data[0].numpy() == 1 for m in (samples[1].gt_sem_seg, samples[1].pred_sem_seg)]
    expected = compare(np.asarray(Image.open(tmp_path / 'photos/a.png')), 'dog 4 of 1', *masks, iou=0.0)
    np.testing.assert_array_equal(Image.open(tmp_path / 'val/a_4.png'), expected)


def test_a_photo_is_read_once_for_all_its_sentences(samples, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(hook, 'read_photo', lambda path: read.append(path) or draw.read_photo(path))
    hook._small_photo.cache_clear()
    run_test(PictureHook(str(tmp_path)), samples)
    assert read == [samples[0].img_path, samples[2].img_path]


@pytest.mark.parametrize('size', [8, 16])
def test_the_iou_is_the_metrics(tmp_path, monkeypatch, size):
    """With pixels that count nowhere, and scored at another size than the input's."""
    rng = torch.Generator().manual_seed(size)
    truth = torch.randint(0, 2, (1, size, size), generator=rng)
    truth[:, :2] = 255
    logits = torch.randn(2, 8, 8, generator=rng)
    changes = dict(gt_sem_seg=truth, seg_logits=logits, pred_sem_seg=logits.argmax(0, keepdim=True))
    sample = make_sample(tmp_path / 'a.png', 1, **changes)
    drawn = []
    monkeypatch.setattr(hook, 'compare', lambda *args: drawn.append(args))
    hook.picture_of(sample)
    _, sentence, is_truth, is_predicted, iou = drawn[0]
    metric = RefSegMetric()
    metric.process({}, [sample.to_dict()])
    assert iou == pytest.approx(metric.compute_metrics(metric.results)['mIoU'] / 100, abs=1e-12) and 0.1 < iou < 0.9
    assert sentence == 'dog 1 of 1' and is_truth.shape == is_predicted.shape == (size, size)
    assert (is_truth == (truth[0] == 1).numpy()).all()


# Of validations


def validate(
    runner_hook: ValidationPictureHook, samples: list[SegDataSample], work_dir: Path, batches: list[int], **changes
) -> None:
    """Batches of so many samples."""
    loader = SimpleNamespace(dataset=Samples(samples, 'val'), batch_sampler=[[0] * size for size in batches])
    told = dict(val_dataloader=loader, rank=0, world_size=1, epoch=1, iter=100, work_dir=str(work_dir))
    told |= dict(log_processor=SimpleNamespace(by_epoch=True), visualizer=Visualizer(vis_backends=None))
    runner = SimpleNamespace(**told | changes)
    runner_hook.before_val_epoch(runner)
    share = samples[runner.rank :: runner.world_size]
    for i, size in enumerate(batches):
        runner_hook.after_val_iter(runner, i, outputs=share[:size])
        share = share[size:]
    assert not share
    runner_hook.after_val_epoch(runner, {})


@pytest.fixture
def many(tmp_path) -> list[SegDataSample]:
    return [make_sample(tmp_path / f'photos/{i // 3}.png', i) for i in range(10)]


@pytest.mark.parametrize('batches', [[10], [4, 4, 2], [1] * 10, [3, 1, 6]])
def test_the_same_samples_at_each_validation(many, tmp_path, batches):
    runner_hook = ValidationPictureHook(count=4)
    for epoch in (1, 2):
        validate(runner_hook, many, tmp_path, batches, epoch=epoch)
    pictures = tmp_path / 'pictures'
    assert written(pictures) == ['val_epoch_1.png', 'val_epoch_2.png']
    expected = grid([hook.picture_of(many[i]) for i in (0, 3, 6, 9)], columns=2)
    for name in written(pictures):
        np.testing.assert_array_equal(Image.open(pictures / name), expected)


def test_a_resumed_training_adds_to_its_pictures(many, tmp_path):
    validate(ValidationPictureHook(count=1), many, tmp_path, [10], epoch=1)
    validate(ValidationPictureHook(count=1), many, tmp_path, [10], epoch=2)
    by_steps = SimpleNamespace(by_epoch=False)
    validate(ValidationPictureHook(count=1), many, tmp_path, [10], log_processor=by_steps)
    assert written(tmp_path / 'pictures') == ['val_epoch_1.png', 'val_epoch_2.png', 'val_iter_100.png']


def test_more_pictures_than_samples(many, tmp_path):
    validate(ValidationPictureHook(count=8), many[:3], tmp_path, [2, 1])
    expected = grid([hook.picture_of(sample) for sample in many[:3]], columns=2)
    np.testing.assert_array_equal(Image.open(tmp_path / 'pictures/val_epoch_1.png'), expected)


def test_one_of_several_processes_draws(many, tmp_path, monkeypatch):
    for rank in (1, 0):
        if rank == 1:
            monkeypatch.setattr(hook, 'picture_of', lambda sample: pytest.fail('drawn in vain'))
        validate(ValidationPictureHook(count=2), many, tmp_path, [5], rank=rank, world_size=2)
        monkeypatch.undo()
        assert (tmp_path / 'pictures').exists() == (rank == 0)
    expected = grid([hook.picture_of(many[i]) for i in (0, 8)], columns=2)
    np.testing.assert_array_equal(Image.open(tmp_path / 'pictures/val_epoch_1.png'), expected)


def test_pictures_on_tensorboard(many, tmp_path):
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    board = Visualizer(vis_backends=backends, save_dir=str(tmp_path / 'logs'))
    validate(ValidationPictureHook(count=2), many, tmp_path, [10], epoch=3, visualizer=board)
    board.close()
    events = EventAccumulator(str(tmp_path / 'logs/vis_data')).Reload()
    (image,) = events.Images('pictures/val')
    with Image.open(tmp_path / 'pictures/val_epoch_3.png') as picture:
        assert (image.step, image.width, image.height) == (3, *picture.size)
    assert written(tmp_path / 'logs') == [], 'not a second time'


def test_no_pictures_are_an_error():
    with pytest.raises(ValueError, match='count must be 1 or more; got 0'):
        ValidationPictureHook(count=0)
