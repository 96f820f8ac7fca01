"""The numbers of generalized referring segmentation: each convention by hand, then against fractions."""

import json
from fractions import Fraction
from inspect import signature

import numpy as np
import pycocotools.mask as coco
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

from mgfe_ris.evaluation import GeneralizedRefSegMetric, RefSegMetric, summarize_generalized
from mgfe_ris.structures import mask_of

PR = ('Pr@0.7', 'Pr@0.8', 'Pr@0.9')


def mask(*pixels: int, size: int = 200) -> torch.Tensor:
    """One row, 1 from the first pixel to before the second, and so on for further pairs."""
    row = torch.zeros(1, size, dtype=torch.int64)
    for start, stop in zip(pixels[::2], pixels[1::2], strict=True):
        row[0, start:stop] = 1
    return row


def sample(pred: torch.Tensor, truth: torch.Tensor, n: int = 0, no_target: float | None = None) -> SegDataSample:
    """A sample as the model returns it; masks (H, W); with what it says of a target, only."""
    result = SegDataSample(
        metainfo=dict(img_path=f'a/{n}.jpg', img_id=n, ref_id=n + 5, sent_id=n + 7, sentence=f'no «{n}»')
    )
    result.pred_sem_seg = PixelData(data=pred[None])
    result.gt_sem_seg = PixelData(data=truth[None])
    if no_target is not None:
        result.no_target_logit = torch.tensor(no_target)
        result.seg_logits = PixelData(data=torch.stack([-pred, pred]).float())
        result.pred_sem_seg = PixelData(data=mask_of(result.seg_logits.data, pred.shape, result)[None].long())
    return result


def evaluate(pairs: list, batch: int = 2, meta: dict | None = None, **options) -> dict[str, float]:
    evaluator = Evaluator(GeneralizedRefSegMetric(**options))
    evaluator.dataset_meta = meta
    samples = [sample(pred, truth, n) for n, (pred, truth) in enumerate(pairs)]
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start : start + batch], {})
    return evaluator.evaluate(len(samples))


NOTHING = mask()


@pytest.mark.parametrize(
    'pred, truth, expected',
    [
        (NOTHING, NOTHING, {'gIoU': 100, 'N-acc': 100}),
        # 30 pixels are cleared, 50 are not
        (mask(0, 30), NOTHING, {'gIoU': 100, 'N-acc': 100}),
        (mask(0, 49), NOTHING, {'gIoU': 100, 'N-acc': 100}),
        (mask(0, 50), NOTHING, {'gIoU': 0, 'cIoU': 0, 'N-acc': 0}),
        (NOTHING, mask(0, 80), {'gIoU': 0, 'cIoU': 0, 'T-acc': 0} | dict.fromkeys(PR, 0)),
        (mask(0, 49), mask(0, 49), {'gIoU': 0, 'cIoU': 0, 'T-acc': 0} | dict.fromkeys(PR, 0)),
        (mask(0, 50), mask(0, 50), {'gIoU': 100, 'cIoU': 100, 'T-acc': 100} | dict.fromkeys(PR, 100)),
        (mask(0, 75), mask(0, 100), {'gIoU': 75, 'cIoU': 75, 'T-acc': 100, 'Pr@0.7': 100, 'Pr@0.8': 0, 'Pr@0.9': 0}),
        # a wrong place is still a target found
        (mask(0, 75), mask(100, 150), {'gIoU': 0, 'cIoU': 0, 'T-acc': 100} | dict.fromkeys(PR, 0)),
    ],
)
def test_one_sample(pred, truth, expected):
    """Left out is what has no denominator, so the keys are compared, too."""
    assert evaluate([(pred, truth)]) == pytest.approx(expected, abs=1e-12)


def test_all_conventions_together():
    pairs = [
        (NOTHING, NOTHING),  # IoU 1, adds 0 / 0
        (mask(0, 40), NOTHING),  # cleared: the same
        (mask(0, 60), NOTHING),  # IoU 0, adds 0 / 60
        (mask(0, 40), mask(0, 120)),  # cleared: IoU 0, adds 0 / 120
        (mask(0, 40), mask(20, 60)),  # cleared: IoU 0, adds 0 / 40, not 0 / 60
        (mask(0, 90), mask(0, 100)),  # IoU 0.9, adds 90 / 100
        (mask(0, 60, 100, 140), mask(20, 60, 100, 140)),  # two objects: IoU 0.8, adds 80 / 100
    ]
    expected = {
        'gIoU': 100 * (1 + 1 + 0 + 0 + 0 + 0.9 + 0.8) / 7,
        'cIoU': 100 * 170 / 420,
        'N-acc': 100 * 2 / 3,
        'T-acc': 100 * 2 / 4,
        'Pr@0.7': 100 * 2 / 4,
        'Pr@0.8': 100 * 2 / 4,
        'Pr@0.9': 100 * 1 / 4,
    }
    assert evaluate(pairs) == pytest.approx(expected, abs=1e-12)
    expected |= {
        'gIoU': 100 * (1 + 0 + 0 + 1 / 3 + 1 / 3 + 0.9 + 0.8) / 7,
        'cIoU': 100 * (0 + 0 + 0 + 40 + 20 + 90 + 80) / (0 + 40 + 60 + 120 + 60 + 100 + 100),
        'N-acc': 100 * 1 / 3,
        'T-acc': 100,
    }
    assert evaluate(pairs, min_pixels=1) == pytest.approx(expected, abs=1e-12)


def test_a_model_that_says_whether_nothing_is_meant(tmp_path):
    """Then a mask's size does not count; what it says clears the mask, but in the evaluator's cIoU."""
    cases = [
        (mask(0, 60), NOTHING, 1.0),  # said so: IoU 1, adds 0 / 0
        (mask(0, 60), NOTHING, -1.0),  # IoU 0, adds 0 / 60
        (NOTHING, NOTHING, -1.0),  # a target of no pixel is said to be: IoU 0
        (mask(0, 80), mask(0, 100), 1.0),  # missed: IoU 0, adds 0 / 100
        (mask(0, 80), mask(20, 100), 1.0),  # missed: adds 0 / 80, or 0 / 100 where nothing is cleared
        (mask(0, 8), mask(0, 10), -1.0),  # few pixels, which are no reason here: IoU 0.8, adds 8 / 10
        (NOTHING, mask(0, 50), 0.0),  # a target is said to be: it is found, as nothing
    ]
    metric = GeneralizedRefSegMetric(conventions=('evaluator', 'paper'), per_sample=str(tmp_path))
    metric.process({}, [sample(*case[:2], n, case[2]).to_dict() for n, case in enumerate(cases)])
    usual = {
        'gIoU': 100 * (1 + 0.8) / 7,
        'cIoU': 100 * 8 / (60 + 100 + 80 + 10 + 50),
        'N-acc': 100 * 1 / 3,
        'T-acc': 100 * 2 / 4,
        'Pr@0.7': 25,
        'Pr@0.8': 25,
        'Pr@0.9': 0,
    }
    evaluator = usual | {'cIoU': 100 * 8 / (60 + 100 + 100 + 10 + 50)}
    paper = usual | {'Pr@0.8': 0}
    expected = usual | {f'evaluator/{k}': v for k, v in evaluator.items()} | {f'paper/{k}': v for k, v in paper.items()}
    assert metric.compute_metrics(metric.results) == pytest.approx(expected, abs=1e-12)
    assert set(expected) <= set(metric.names)
    lines = [json.loads(line) for line in (tmp_path / 'results.jsonl').read_text().splitlines()]
    assert [line['no_target'] for line in lines] == [1, 0, 0, 1, 1, 0, 0]
    assert lines[0]['pred_pixels'] == 60 and [line['iou'] for line in lines] == [1, 0, 0, 0, 0, 0.8, 0]


def test_an_unknown_convention_is_refused():
    with pytest.raises(ValueError, match=r"conventions must be of \['evaluator', 'paper'\]; got \['grefs'\]"):
        GeneralizedRefSegMetric(conventions=('paper', 'grefs'))


def by_fractions(preds: np.ndarray, truths: np.ndarray, min_pixels: int, ignore: int = 255) -> dict[str, Fraction]:
    """Clear small predictions first, then compare sets of pixels."""
    ious, hits, total_i, total_u = [], [], 0, 0
    wrong_or_right: dict[str, list[bool]] = {'N-acc': [], 'T-acc': []}
    for pred, truth in zip(preds, truths, strict=True):
        said = {(y, x) for y, x in np.ndindex(pred.shape) if pred[y, x] == 1 and truth[y, x] != ignore}
        meant = {(y, x) for y, x in np.ndindex(truth.shape) if truth[y, x] == 1}
        if len(said) < min_pixels:
            said = set()
        if meant:
            iou = Fraction(len(said & meant), len(said | meant))
            hits.append(iou)
            wrong_or_right['T-acc'].append(len(said) > 0)
        else:
            iou = Fraction(0 if said else 1)
            wrong_or_right['N-acc'].append(not said)
        ious.append(iou)
        total_i, total_u = total_i + len(said & meant), total_u + len(said | meant)
    shares = {name: Fraction(sum(answers), len(answers)) for name, answers in wrong_or_right.items() if answers}
    if hits:
        shares |= {f'Pr@0.{n}': Fraction(sum(iou >= Fraction(n, 10) for iou in hits), len(hits)) for n in (7, 8, 9)}
    if total_u:
        shares['cIoU'] = Fraction(total_i, total_u)
    return {name: 100 * share for name, share in (shares | {'gIoU': sum(ious) / Fraction(len(ious))}).items()}


@pytest.mark.parametrize('min_pixels', [1, 20, 50])
def test_against_fractions(min_pixels):
    rng = np.random.default_rng(min_pixels)
    truths = (rng.random((60, 10, 12)) < rng.choice([0, 0.2, 0.5, 0.9], (60, 1, 1))).astype(np.int64)
    preds = np.where(rng.random(truths.shape) < rng.choice([0, 0.02, 0.1, 0.6], (60, 1, 1)), 1 - truths, truths)
    preds[rng.random(60) < 0.2] = 0
    truths[rng.random(truths.shape) < 0.1] = 255
    truths[7] = 255  # nothing counts: neither target nor prediction
    expected = by_fractions(preds, truths, min_pixels)
    assert len(expected) == 7 and all(0 < value < 100 for value in expected.values())
    metrics = evaluate(list(zip(torch.from_numpy(preds), torch.from_numpy(truths), strict=True)), min_pixels=min_pixels)
    assert metrics == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-9, rel=0)


@pytest.mark.parametrize('percent', [70, 80, 90])
def test_thresholds_are_inclusive(percent):
    name = f'Pr@{percent / 100}'
    assert summarize_generalized([percent], [100], [percent], [100])[name] == 100
    assert summarize_generalized([percent * 100 - 1], [10000], [percent * 100 - 1], [10000])[name] == 0


def test_without_a_sample_of_one_kind():
    hit, miss = (mask(0, 60), mask(0, 60)), (mask(0, 60), NOTHING)
    right = (NOTHING, NOTHING)
    assert set(evaluate([hit, hit])) == {'gIoU', 'cIoU', 'T-acc', *PR}
    assert set(evaluate([miss, right])) == {'gIoU', 'cIoU', 'N-acc'}
    assert set(evaluate([right, right])) == {'gIoU', 'N-acc'}
    assert set(evaluate([hit, right])) == {'gIoU', 'cIoU', 'N-acc', 'T-acc', *PR}


def test_no_sample_is_an_error():
    with pytest.raises(ValueError, match='no sample'):
        summarize_generalized([], [], [], [])


def test_a_data_set_where_all_is_found_scores_as_the_plain_metric():
    """Where no mask is empty, gIoU is mIoU, cIoU is oIoU, and P@X agree."""
    rng = np.random.default_rng(0)
    pairs = [tuple(torch.from_numpy((rng.random((2, 9, 13)) < share).astype(np.int64))) for share in (0.6, 0.9, 0.97)]
    pairs.append((pairs[2][1], pairs[2][1]))
    plain = Evaluator(RefSegMetric())
    plain.process([sample(*pair) for pair in pairs], {})
    plain_metrics, metrics = plain.evaluate(len(pairs)), evaluate(pairs)
    names = {'gIoU': 'mIoU', 'cIoU': 'oIoU'} | {name: name.replace('Pr', 'P') for name in PR}
    assert {name: metrics[name] for name in names} == pytest.approx(
        {name: plain_metrics[other] for name, other in names.items()}
    )


def test_a_line_per_sample(tmp_path):
    """Masks and counts as the model gave them; the IoU as it counts."""
    pairs = [(NOTHING, NOTHING), (mask(0, 40), NOTHING), (mask(0, 40), mask(20, 60)), (mask(0, 90), mask(30, 120))]
    metrics = evaluate(pairs, meta=dict(split='testB'), per_sample=str(tmp_path / 'out'))
    text = (tmp_path / 'out/testB.jsonl').read_text(encoding='utf-8')
    records = [json.loads(line) for line in text.splitlines()]
    keys = ('intersection', 'union', 'pred_pixels', 'truth_pixels')
    assert [tuple(r[key] for key in keys) for r in records] == [
        (0, 0, 0, 0),
        (0, 40, 40, 0),
        (20, 60, 40, 40),
        (60, 120, 90, 90),
    ]
    assert [r['iou'] for r in records] == [1, 1, 0, 0.5]
    assert metrics['gIoU'] == pytest.approx(100 * sum(r['iou'] for r in records) / 4)
    for n, (record, (pred, truth)) in enumerate(zip(records, pairs, strict=True)):
        assert (record['sent_id'], record['sentence']) == (n + 7, f'no «{n}»')
        np.testing.assert_array_equal(coco.decode(record['pred']), pred)
        np.testing.assert_array_equal(coco.decode(record['truth']), truth)
    strict = summarize_generalized(*([r[key] for r in records] for key in keys), min_pixels=1)
    assert strict == pytest.approx(evaluate(pairs, min_pixels=1))


def test_ignored_pixels_make_neither_target_nor_prediction(tmp_path):
    truth = mask()
    truth[0, :120] = 255
    assert evaluate([(mask(0, 120), truth)], per_sample=str(tmp_path)) == {'gIoU': 100, 'N-acc': 100}
    record = json.loads((tmp_path / 'results.jsonl').read_text())
    assert (record['pred_pixels'], record['truth_pixels']) == (0, 0)
    assert evaluate([(mask(0, 120), torch.where(truth == 255, 9, 0))], ignore_index=9) == {'gIoU': 100, 'N-acc': 100}


def test_no_file_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate([(mask(0, 60), mask(0, 60))], meta=dict(split='val'))
    assert not list(tmp_path.iterdir())


def test_options():
    init_default_scope('mmseg')
    metric = METRICS.build(dict(type='GeneralizedRefSegMetric', collect_device='gpu', ignore_index=9))
    assert (metric.min_pixels, metric.collect_device, metric.ignore_index) == (50, 'gpu', 9)
    assert signature(summarize_generalized).parameters['min_pixels'].default == 50
    with pytest.raises(ValueError, match=r'at least 1.*got 0'):
        GeneralizedRefSegMetric(min_pixels=0)
    with pytest.raises(TypeError, match='min_pixel'):
        METRICS.build(dict(type='GeneralizedRefSegMetric', min_pixel=9))
