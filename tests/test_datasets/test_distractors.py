"""How many other objects are annotated beside each object."""

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mgfe_ris.apis import load_config
from mgfe_ris.datasets.cache import open_index
from mgfe_ris.datasets.distractors import categories, distractors, read_annotated
from mgfe_ris.datasets.readers import read_refer, refer_files


def annotation(i: int, image: int, category: int | None = 1, **more) -> dict:
    return dict(id=i, image_id=image, **({} if category is None else dict(category_id=category)), **more)


def write(folder: Path, refs: list[dict], annotations: list[dict | str], suffix: str = 'p') -> tuple[Path, Path]:
    files = folder / f'refs(unc).{suffix}', folder / 'instances.json'
    files[0].write_bytes(pickle.dumps(refs) if suffix == 'p' else json.dumps(refs).encode())
    texts = [item if isinstance(item, str) else json.dumps(item) for item in annotations]
    files[1].write_text(f'{{"images": [{{"id": 1}}], "annotations": [{", ".join(texts)}], "categories": []}}')
    return files


@pytest.mark.parametrize('suffix', ['p', 'json'])
def test_counts_made_by_hand(tmp_path, suffix):
    annotations = [
        annotation(1, 1, 7),
        annotation(2, 1, 7),
        annotation(3, 1, 7, segmentation={'counts': '"id": 5', 'size': [1, 2]}),  # to be decoded
        annotation(4, 1, 8, attributes={'id': 99, 'image_id': 2}),
        annotation(5, 2, 7),
        annotation(6, 3, None),
        annotation(7, 3, 7),
        '{"id": 8, "image_id": 1, "category_id": }',  # no ref points to it
        '{"id": "nine", "image_id": 1}',
        '{"id": "10", "image_id": 2.0, "category_id": "7"}',
    ]
    refs = [
        dict(ann_id=1, image_id=1),
        dict(ann_id=4, image_id=1),
        dict(ann_id=5, image_id=2),
        dict(ann_id=6, image_id=3),
        dict(ann_id=[1, 4], image_id=1),
        dict(ann_id=[-1], image_id=1),
        dict(ann_id=[2], image_id=1, no_target=True),
    ]
    refs = [dict(ref, ref_id=i, split='val', sentences=[]) for i, ref in enumerate(refs)]
    found = read_annotated(*write(tmp_path, refs, annotations, suffix))
    assert found['counts'].tolist() == [[3, 2], [3, 0], [1, 1], [1, -1], [2, 2], [4, 0], [4, 0]]
    assert found['category'].tolist() == [7, 8, 7, -1, -1, -1, -1], 'of one category, or of none that is known'


def test_counts_of_the_real_data(coco_ref):
    instances = json.loads((coco_ref / 'refcoco/instances.json').read_text())['annotations']
    refs = pickle.loads((coco_ref / 'refcoco/refs(unc).p').read_bytes())
    in_photo = Counter(item['image_id'] for item in instances)
    in_category = Counter((item['image_id'], item['category_id']) for item in instances)
    category = {item['id']: item['category_id'] for item in instances}
    found = read_annotated(*refer_files(coco_ref / 'refcoco', 'unc'))
    assert found['category'].tolist() == [category[r['ann_id']] for r in refs]
    assert found['counts'].tolist() == [
        [in_photo[r['image_id']] - 1, in_category[r['image_id'], category[r['ann_id']]] - 1] for r in refs
    ]
    with_sentence = Counter(r['image_id'] for r in refs)
    assert any(others + 1 > with_sentence[r['image_id']] for r, (others, _) in zip(refs, found['counts'], strict=True))


def test_counts_are_kept_beside_the_index(refshapes, monkeypatch):
    folder = refshapes / 'refshapes'
    files = refer_files(folder, 'unc')
    index = open_index(folder, files, lambda: read_refer(folder, 'unc'))
    first = distractors(index, *files)
    numbers, names = categories(index, *files)
    monkeypatch.setattr('mgfe_ris.datasets.distractors.read_annotated', lambda *_: pytest.fail('read again'))
    assert np.array_equal(distractors(index, *files), first) and first.shape == (len(index), 2)
    assert np.array_equal(categories(index, *files)[0], numbers) and categories(index, *files)[1] == names
    kept = index.folder / 'annotated.npz'
    changed = {**np.load(kept), 'counts': first + 1}
    monkeypatch.setattr('mgfe_ris.datasets.distractors.read_annotated', lambda *_: changed)
    for broken in (b'', kept.read_bytes()[:200], kept.read_bytes()[:-200]):
        kept.write_bytes(broken)
        assert np.array_equal(distractors(index, *files), first + 1), 'a part of the file is no answer'
    kept.unlink()


def test_a_data_set_for_evaluation_says_them(refshapes):
    init_default_scope('mmseg')
    cfg = load_config('mgfe-ris_tiny_refshapes', data_root=str(refshapes))
    train, val = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.val_dataloader))
    samples = [val[i]['data_samples'] for i in range(len(val))]
    annotated = Counter(
        item['image_id'] for item in json.loads((refshapes / 'refshapes/instances.json').read_text())['annotations']
    )
    things = json.loads((refshapes / 'refshapes/instances.json').read_text())
    names = {item['id']: item['name'] for item in things['categories']}
    assert {(sample.category_id, sample.category) for sample in samples} <= names.items() and len(names) > 3
    assert all(sample.others == annotated[sample.img_id] - 1 for sample in samples) and len(samples) > 9
    assert all(0 <= sample.same_category <= sample.others for sample in samples)
    assert 'others' not in train[0]['data_samples'], 'training needs none'


def test_names_of_categories(tmp_path):
    files = write(
        tmp_path,
        [dict(ann_id=i, image_id=1, ref_id=i, split='val', sentences=[]) for i in (1, 2, 3, 4)],
        [annotation(i, 1, str(i) if i == 3 else i) for i in (1, 2, 3, 4)],
    )
    listed = [dict(id=1, name='cup'), dict(id=2), 'three', dict(id='3', name='text'), dict(id=4.0, name='float')]
    listed += [dict(id=9, name='not here'), dict(id='x', name='no number'), dict(name='no id')]
    files[1].write_text(files[1].read_text().replace('"categories": []', f'"categories": {json.dumps(listed)}'))
    numbers, names = categories(Index(tmp_path, 4), *files)
    assert numbers.tolist() == [1, 2, 3, 4] and names == {1: 'cup', 2: '2', 3: 'text', 4: 'float'}


class Index:
    """The part of an index that is looked at."""

    def __init__(self, folder: Path, objects: int):
        self.folder, self.objects = folder, objects

    def __len__(self) -> int:
        return self.objects
