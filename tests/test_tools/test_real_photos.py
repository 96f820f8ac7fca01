"""RefCOCO's files and real photos through training and test, with nothing changed but where they lie."""

from pathlib import Path

import pytest
from mmengine.runner import Runner

from mgfe_ris.apis import load_config
from mgfe_ris.datasets import LoadReferringMask, ReferringDataset
from mgfe_ris.datasets.augmentations import swap_left_right, turns_with_photo
from mgfe_ris.models.encoders.text import HFTokenizer


def test_two_epochs_and_all_splits(coco_ref, small_model, tmp_path, one_thread):
    loaders = {f'{name}_dataloader.{key}': value for name in ('train', 'val', 'test')
               for key, value in (('num_workers', 0), ('persistent_workers', False))}  # fmt: skip
    short = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2, 'work_dir': str(tmp_path)}
    cfg = load_config('mgfe-ris_tiny_refcoco', {**small_model, **loaders, **short}, data_root=str(coco_ref))
    cfg.experiment_name = 'real_photos'
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert [key for key in metrics if key.endswith('/oIoU')] == [
        f'{split}/oIoU' for split in ('train', 'val', 'testA', 'testB', 'val-shuffled')
    ]
    assert all(0 <= value <= 100 for value in metrics.values())
    assert len(list(tmp_path.glob('best_oIoU_*.pth'))) == 1


@pytest.fixture(scope='session')
def people(refcoco_mini: Path) -> list[str]:
    """Sentences by people, of the three published sets, in all their splits."""
    sets = (('refcoco', 'unc', ['val', 'testA', 'testB']), ('refcoco+', 'unc', ['val', 'testA', 'testB']),
            ('refcocog', 'umd', ['val', 'test']))  # fmt: skip
    found = [ReferringDataset(str(refcoco_mini), name, by, split=splits) for name, by, splits in sets]
    return [sentence for part in found for i in range(len(part)) for sentence in part.get_data_info(i)['sentences']]


def test_sentences_by_people_are_read_whole(people):
    """By the built-in vocabulary, which spells many of their words."""
    cut = {}
    for tokens in (20, load_config('mgfe-ris_tiny_refcoco').model.data_preprocessor.tokenizer.max_tokens):
        tokenizer = HFTokenizer(max_tokens=tokens)
        tokenizer(people)
        cut[tokens] = tokenizer.num_truncated
        assert tokenizer.num_unknown == 0
    assert len(people) == 203 and cut == {20: 16, 64: 0}


def test_sides_that_people_say(people):
    assert sum(swap_left_right(sentence) != sentence for sentence in people) == 45
    assert sorted(sentence for sentence in people if not turns_with_photo(sentence)) == [
        'banana 3 o clock',
        'guy at 3pm',
        'white frosting right next to the hand',
    ]


def test_objects_of_the_pool(coco_pool):
    """Those in several parts, and the smallest ones."""
    load, parts, areas = LoadReferringMask(), [], {}
    for split in ('train', 'val'):
        data = ReferringDataset(str(coco_pool), 'refcoco', 'unc', split)
        objects = [load(data.get_data_info(i)) for i in range(len(data))]
        parts += [found['parts'] for found in objects]
        areas[split] = min(int(found['gt_seg_map'].sum()) for found in objects)
    assert len(parts) == 1355 and sum(number > 1 for number in parts) == 159
    assert areas == dict(train=676, val=1368)
