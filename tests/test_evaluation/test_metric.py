"""The metric as the runner uses it, and the line that it leaves of each sample."""

import json

import numpy as np
import pycocotools.mask as coco
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from torch.utils._python_dispatch import TorchDispatchMode

from mgfe_ris.evaluation import GeneralizedRefSegMetric, RefSegMetric


@pytest.fixture(scope='module')
def recorded(shared) -> dict:
    return torch.load(shared / 'fixtures/lavt_small.pt', weights_only=True)


def sample(pred: torch.Tensor, truth: torch.Tensor, n: int = 0) -> SegDataSample:
    """A sample as the model returns it; masks (H, W)."""
    result = SegDataSample(
        metainfo=dict(img_path=f'a/{n // 2}.jpg', img_id=n // 2, ref_id=n + 5, sent_id=n + 7, sentence=f'dog {n} «é»')
    )
    result.pred_sem_seg = PixelData(data=pred[None].long())
    result.gt_sem_seg = PixelData(data=truth[None].long())
    return result


def evaluate(metric: RefSegMetric, samples: list[SegDataSample], batch: int = 5, **meta) -> dict:
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = meta
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start : start + batch], {})
    return evaluator.evaluate(len(samples))


def test_numbers_of_the_official_baseline(recorded):
    pairs = zip(recorded['metric_preds'], recorded['metric_gts'], strict=True)
    metrics = evaluate(RefSegMetric(), [sample(p, t, n) for n, (p, t) in enumerate(pairs)])
    assert metrics == pytest.approx(recorded['metrics'], abs=1e-9, rel=0)


def test_a_second_evaluation_starts_anew():
    metric = RefSegMetric()
    full, empty = torch.ones(4, 4), torch.zeros(4, 4)
    assert evaluate(metric, [sample(full, full)])['oIoU'] == 100
    assert evaluate(metric, [sample(empty, full)])['oIoU'] == 0


def test_a_line_per_sample(tmp_path):
    masks = torch.from_numpy(np.random.default_rng(0).random((6, 2, 9, 13)) < 0.5)
    masks[5] = False
    samples = [sample(pred, truth, n) for n, (pred, truth) in enumerate(masks)]
    evaluate(RefSegMetric(per_sample=str(tmp_path / 'new/out')), samples, split='testA')
    text = (tmp_path / 'new/out/testA.jsonl').read_text(encoding='utf-8')
    records = [json.loads(line) for line in text.splitlines()]
    assert len(records) == 6 and '«é»' in text
    for n, (record, (pred, truth)) in enumerate(zip(records, masks.numpy(), strict=True)):
        union = int((pred | truth).sum())
        assert {key: record[key] for key in ('img_path', 'img_id', 'ref_id', 'sent_id', 'sentence')} == dict(
            img_path=f'a/{n // 2}.jpg', img_id=n // 2, ref_id=n + 5, sent_id=n + 7, sentence=f'dog {n} «é»'
        )
        assert (record['intersection'], record['union']) == (int((pred & truth).sum()), union)
        assert record['iou'] == pytest.approx((pred & truth).sum() / union if union else 0)
        np.testing.assert_array_equal(coco.decode(record['pred']), pred)
        np.testing.assert_array_equal(coco.decode(record['truth']), truth)
    assert records[5]['iou'] == records[5]['union'] == 0


def test_lines_say_what_the_data_set_says_of_a_sample(tmp_path):
    said = [dict(others=3, same_category=1, part=0), {}, dict(others=0, reviewed_out=True), {}]
    samples = [sample(torch.ones(2, 2), torch.ones(2, 2), n) for n in range(4)]
    for one, known in zip(samples, said, strict=True):
        one.set_metainfo(known)
    evaluate(RefSegMetric(per_sample=str(tmp_path)), samples, split='val')
    records = [json.loads(line) for line in (tmp_path / 'val.jsonl').read_text().splitlines()]
    keys = ('others', 'same_category', 'part', 'reviewed_out')
    assert [{key: r[key] for key in keys if key in r} for r in records] == said


def test_all_metrics_come_again_without_what_a_review_found_wrong():
    """IoU 1, 0.5 and 0; the last is wrong."""
    pairs = [([1, 1], [1, 1]), ([1, 0], [1, 1]), ([1, 0], [0, 1])]
    samples = [sample(torch.tensor([pred]), torch.tensor([truth]), n) for n, (pred, truth) in enumerate(pairs)]
    plain = evaluate(RefSegMetric(), samples)
    assert not any('reviewed' in name for name in plain)
    for n, one in enumerate(samples):
        one.set_metainfo(dict(reviewed_out=n == 2))
    found = evaluate(RefSegMetric(), samples)
    kept = evaluate(RefSegMetric(), samples[:2])
    assert kept['reviewed/mIoU'] == pytest.approx(75) and plain['mIoU'] == pytest.approx(50)
    assert found == {**plain, **{f'reviewed/{name}': kept[f'reviewed/{name}'] for name in plain}}
    assert not any('reviewed' in name for name in evaluate(RefSegMetric(), samples[2:])), 'nothing is left'


@pytest.mark.parametrize('key', ['score_at', 'sentence_key', 'per_sentence'])
def test_data_sets_of_two_protocols_make_no_number(key):
    part = dict(ann_folder='a', score_at='input', sentence_key='raw', per_sentence=True, shared_photos={})
    other = {**part, 'ann_folder': 'b', 'shared_photos': dict(val=1)}
    evaluate(RefSegMetric(), [sample(torch.ones(2, 2), torch.ones(2, 2))], protocol=dict(parts=[part, other]))
    with pytest.raises(ValueError, match=f'differ in {key} would be mixed in one number: .* of a, .* of b'):
        Evaluator(RefSegMetric()).dataset_meta = dict(protocol=dict(parts=[part, {**other, key: 'else'}]))


def test_metrics_per_category(tmp_path):
    """Of the samples that say theirs; the most frequent first."""
    full, half = torch.ones(2, 2), torch.tensor([[1, 0], [1, 0]])
    samples = [sample(full if n % 2 else half, full, n) for n in range(6)]
    for n, name in ((0, 'cup'), (1, 'cup'), (3, 'cup'), (4, 'dog')):
        samples[n].set_metainfo(dict(category=name))
    samples[2].set_metainfo(dict(category='cup', category_id=47))
    metric = RefSegMetric(per_sample=str(tmp_path))
    evaluate(metric, samples)
    assert list(metric.by_category.items()) == [
        ('cup', dict(count=4, oIoU=75.0, mIoU=75.0)),
        ('dog', dict(count=1, oIoU=50.0, mIoU=50.0)),
    ]
    lines = [json.loads(line) for line in (tmp_path / 'results.jsonl').read_text().splitlines()]
    assert [line.get('category') for line in lines] == ['cup', 'cup', 'cup', 'cup', 'dog', None]
    assert [line.get('category_id') for line in lines] == [None, None, 47, None, None, None]
    generalized = GeneralizedRefSegMetric(per_sample=str(tmp_path), min_pixels=1)
    evaluate(generalized, samples)
    assert generalized.by_category['dog'] == dict(count=1, gIoU=50.0, cIoU=50.0)


def in_photo(difference: list[list[float]], size: tuple[int, int], n: int = 0) -> SegDataSample:
    """A sample with logits, the target's above the background's by so much, about a photo of another size."""
    logits = torch.tensor(difference)
    found = sample(logits > 0, torch.ones(logits.shape), n)
    found.seg_logits = PixelData(data=torch.stack([logits * 0, logits]))
    found.set_metainfo(dict(ori_shape=size))
    return found


def test_results_as_coco_has_them(tmp_path):
    """Masks of the photo's size, made from logits; an empty one is a result, too."""
    from pycocotools.coco import COCO

    metric = RefSegMetric(per_sample=str(tmp_path), coco_json=True)
    samples = [in_photo([[3.0, -1.0]], (1, 8)), in_photo([[-1.0, -2.0]], (2, 4), 2)]
    samples[0].set_metainfo(dict(category='cup', category_id=47))
    evaluate(metric, samples, split='val')
    assert metric.written == ['val.jsonl', 'val.coco.json'] and metric.error is None
    found = json.loads((tmp_path / 'val.coco.json').read_text(encoding='utf-8'))
    # 3 falls to -1 between the centres 1.5 and 5.5: 3, 3, 2.5, 1.5, 0.5 are above 0
    np.testing.assert_array_equal(coco.decode(found[0]['segmentation']), [[1, 1, 1, 1, 1, 0, 0, 0]])
    assert found[0]['score'] == pytest.approx(float(torch.tensor([3, 3, 2.5, 1.5, 0.5]).sigmoid().mean()))
    assert found[1]['score'] == 0 and coco.decode(found[1]['segmentation']).shape == (2, 4)
    ids = [(r['image_id'], r['category_id'], r['ref_id'], r['sent_id'], r['sentence']) for r in found]
    assert ids == [(0, 47, 5, 7, 'dog 0 «é»'), (1, 0, 7, 9, 'dog 2 «é»')], '0: no category is known'
    assert all('coco' not in json.loads(line) for line in (tmp_path / 'val.jsonl').read_text().splitlines())
    truth = COCO()
    truth.dataset = dict(images=[dict(id=0), dict(id=1)], annotations=[], categories=[])
    truth.createIndex()
    assert [a['area'] for a in truth.loadRes(str(tmp_path / 'val.coco.json')).anns.values()] == [5, 0]


def test_what_coco_results_need(tmp_path):
    with pytest.raises(ValueError, match='coco_json=True needs per_sample'):
        RefSegMetric(coco_json=True)
    with pytest.raises(ValueError, match="needs each sample's seg_logits, and ori_shape"):
        evaluate(RefSegMetric(per_sample=str(tmp_path), coco_json=True), [sample(torch.ones(2, 2), torch.ones(2, 2))])


def test_a_sentence_with_half_a_letter(tmp_path):
    """As broken JSON has it: it must not cost the lines of all others."""
    broken = sample(torch.ones(2, 2), torch.ones(2, 2))
    broken.set_metainfo(dict(sentence='dog \ud83d'))
    evaluate(RefSegMetric(per_sample=str(tmp_path)), [broken])
    assert json.loads((tmp_path / 'results.jsonl').read_text(encoding='utf-8'))['sentence'] == 'dog \ud83d'


def test_lines_that_cannot_be_written_lose_no_metric(tmp_path):
    (tmp_path / 'out').touch()
    metric = RefSegMetric(per_sample=str(tmp_path / 'out'))
    for _ in range(2):
        assert evaluate(metric, [sample(torch.ones(2, 2), torch.ones(2, 2))])['oIoU'] == 100
        assert isinstance(metric.error, OSError) and metric.written == []
    (tmp_path / 'out').unlink()
    evaluate(metric, [sample(torch.ones(2, 2), torch.ones(2, 2))])
    assert metric.error is None and metric.written == ['results.jsonl']


def test_a_prefix():
    found = evaluate(RefSegMetric(prefix='ris'), [sample(torch.ones(2, 2), torch.ones(2, 2))])
    assert found['ris/oIoU'] == 100 and all(name.startswith('ris/') for name in found)


def test_ignored_pixels(tmp_path):
    pred, truth = torch.tensor([[1, 1, 0]]), torch.tensor([[1, 255, 1]])
    assert evaluate(RefSegMetric(per_sample=str(tmp_path)), [sample(pred, truth)])['oIoU'] == 50
    record = json.loads((tmp_path / 'results.jsonl').read_text())
    assert coco.decode(record['truth']).tolist() == [[1, 0, 1]]


def test_no_file_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate(RefSegMetric(), [sample(torch.ones(2, 2), torch.ones(2, 2))], split='val')
    assert not list(tmp_path.iterdir())


def test_masks_of_two_sizes():
    with pytest.raises(ValueError, match=r'prediction \(1, 4, 4\) and truth \(1, 4, 5\) differ in size, and there'):
        evaluate(RefSegMetric(), [sample(torch.ones(4, 4), torch.ones(4, 5))])


def test_a_truth_of_the_photos_size_is_met_by_resized_logits():
    """The border lies where the interpolated logits cross, not where a resized mask has it."""
    logits = torch.tensor([[0.0, 0.0], [3.0, -1.0]])[:, None]  # target minus background: 3 and -1, (2, 1, 2)
    both = sample(torch.tensor([[1, 0]]), torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]]))
    both.seg_logits = PixelData(data=logits)
    # of 8 pixels between the centres 1.5 and 5.5, 3 falls to -1: above 0 up to 4.5, that is for pixels 0 to 4
    assert evaluate(RefSegMetric(), [both])['oIoU'] == 100


def test_a_misspelt_option_is_refused():
    init_default_scope('mmseg')
    assert isinstance(METRICS.build(dict(type='RefSegMetric', ignore_index=0)), RefSegMetric)
    with pytest.raises(TypeError, match='ignore_indx'):
        METRICS.build(dict(type='RefSegMetric', ignore_indx=0))


class Reads(TorchDispatchMode):
    """Counts what a GPU would have to be waited for: copies to the CPU and numbers read."""

    def __init__(self):
        super().__init__()
        self.copies = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.copies += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize('metric', [RefSegMetric, GeneralizedRefSegMetric])
@pytest.mark.parametrize('lines', [False, True])
def test_a_batch_is_read_once(metric, lines, tmp_path, monkeypatch):
    moved = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, 'cpu', lambda self: moved.append(len(self)) or cpu(self))
    about = dict(img_path='a', img_id=1, ref_id=2, sent_id=3, sentence='b')
    samples = [
        dict(
            pred_sem_seg=dict(data=torch.randint(2, (1, 9, 7 + i))),
            gt_sem_seg=dict(data=torch.randint(2, (1, 9, 7 + i))),
            **about,
        )
        for i in range(4)
    ]
    metric = metric(per_sample=str(tmp_path) if lines else None)
    with Reads() as reads:
        metric.process({}, samples)
    assert reads.copies == 0 and len(moved) == 1, 'tolist() of the one copy reads no tensor of a device'
    for record, sample in zip(metric.results, samples, strict=True):
        pred, truth = (sample[key]['data'] == 1 for key in ('pred_sem_seg', 'gt_sem_seg'))
        assert (record['intersection'], record['union']) == (int((pred & truth).sum()), int((pred | truth).sum()))
        if lines:
            assert np.array_equal(coco.decode(record['pred']), pred[0].numpy())
            assert np.array_equal(coco.decode(record['truth']), truth[0].numpy())
