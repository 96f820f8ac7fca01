"""One pass over the data, scored in several ways."""

import json

import mmcv
import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData

from mgfe_ris.evaluation import GeneralizedRefSegMetric, RefSegMetric, ScoringProtocol
from mgfe_ris.evaluation.protocols import stretched
from mgfe_ris.structures import MaskRule, SegDataSample, mask_of

KNOWN = dict(img_path='a.jpg', img_id=0, ref_id=1, sent_id=2, sentence='dog')
RULE = MaskRule(threshold=0.35, of='scores', resize='bicubic', align_corners=True)


def of_photo(size: tuple[int, int], logits: torch.Tensor | None = None, **meta) -> SegDataSample:
    """A truth of the photo's size, drawn at random in blocks, and logits."""
    sample = SegDataSample(metainfo=dict(KNOWN, ori_shape=size, img_shape=(24, 24), **meta))
    blocks = torch.rand(1, 1, 5, 4)
    truth = torch.nn.functional.interpolate(blocks, size)[0] > 0.6
    sample.gt_sem_seg = PixelData(data=truth.long())
    sample.seg_logits = PixelData(data=torch.randn(2, 24, 24) if logits is None else logits)
    sample.pred_sem_seg = PixelData(data=mask_of(sample.seg_logits.data, size, sample)[None].long())
    return sample


def evaluate(metric: RefSegMetric, samples: list[SegDataSample], **meta) -> dict[str, float]:
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = meta
    evaluator.process(samples, {})
    return evaluator.evaluate(len(samples))


@pytest.mark.parametrize('size', [(480, 480), (7, 300), (640, 427)])
def test_a_truth_is_stretched_as_pipelines_do_it(size):
    """Bit for bit, sizes at which Pillow's sums round otherwise than a product among them."""
    rng = np.random.default_rng(0)
    for height, width in [(427, 640), (333, 500), (96, 64), (480, 480), *rng.integers(1, 700, (20, 2)).tolist()]:
        mask = rng.integers(0, 2, (height, width)).astype(np.uint8)
        expected = mmcv.imresize(mask, size[::-1], interpolation='nearest', backend='pillow')
        found = stretched(torch.from_numpy(mask)[None].long(), size)
        assert np.array_equal(found[0].numpy(), expected), (height, width)


def test_what_a_config_of_the_inputs_size_would_give():
    """Of the same logits, to the last digit."""
    torch.manual_seed(0)
    photos = [of_photo(size) for size in ((40, 60), (33, 21), (24, 24))]
    found = evaluate(RefSegMetric(protocols=dict(common=dict(size=(24, 24), threshold=0.5))), photos)
    for sample in photos:
        truth = sample.gt_sem_seg.data[0].numpy().astype(np.uint8)
        truth = mmcv.imresize(truth, (24, 24), interpolation='nearest', backend='pillow')
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth)[None].long())
        sample.pred_sem_seg = PixelData(data=sample.seg_logits.data.argmax(0, keepdim=True))
    at_input = evaluate(RefSegMetric(), photos)
    assert {name.removeprefix('common/'): found[name] for name in found if '/' in name} == at_input


def test_a_letterbox_is_cut_out_and_stretched():
    """A model that sees a letterbox is compared in the same frame: what it marks in the photo is there, too."""
    box = ((0.4, 0.0, 0.0), (0.0, 0.4, 4.0))  # 40 x 60 in 24 x 24
    logits = torch.full((1, 24, 24), -3.0)
    logits[:, 4:12] = 3.0  # the photo's upper half
    sample = of_photo((40, 60), logits, to_input=box, mask_rule=MaskRule(threshold=0.4))
    sample.gt_sem_seg = PixelData(data=(torch.arange(40) < 20).long()[None, :, None].expand(1, 40, 60))
    protocols = dict(at_24=dict(size=(24, 24)), at_120=dict(size=(120, 60)))
    found = evaluate(RefSegMetric(protocols=protocols), [sample])
    # of 24 rows 12 are the upper half, of 24 in the letterbox 8: the border may lie a row beside
    assert found['at_24/oIoU'] > 85 and found['at_120/oIoU'] > 90
    whole = mask_of(logits, (24, 24), sample, stretched_from=(40, 60))
    assert whole[0].all() and not whole[-1].any() and not torch.equal(whole, mask_of(logits, (24, 24), sample))


def test_thresholds_and_definitions():
    """An IoU of exactly 0.5, and one of 0.6, which is not above 0.6 in float32; an empty pair counts 0."""
    size = (1, 10)
    samples = [of_photo(size, torch.zeros(1, 1, 10), mask_rule=RULE) for _ in range(3)]
    for sample, found, true in zip(samples, (5, 6, 0), (10, 10, 0), strict=True):
        sample.set_metainfo(dict(img_shape=size))
        logit = torch.where(torch.arange(10) < found, 5.0, -5.0)
        logit[9] = -0.4 if found == 6 else -5.0  # a score of 0.40, above the model's own threshold alone
        sample.seg_logits = PixelData(data=logit[None, None])
        sample.gt_sem_seg = PixelData(data=(torch.arange(10) < true).long()[None, None])
        sample.pred_sem_seg = PixelData(data=mask_of(sample.seg_logits.data, size, sample)[None].long())
    protocols = dict(own=dict(added=1e-6, strict=True), common=dict(threshold=0.5))
    found = evaluate(RefSegMetric(protocols=protocols), samples)
    assert found['mIoU'] == pytest.approx(100 * (0.5 + 0.7) / 3)
    assert found['common/mIoU'] == pytest.approx(100 * (0.5 + 0.6) / 3)
    assert found['own/mIoU'] == pytest.approx(100 * (5 + 7) / (10 + 1e-6) / 3, abs=1e-12)
    assert found['own/P@0.5'] == pytest.approx(100 / 3) and found['P@0.5'] == pytest.approx(200 / 3)
    assert found['common/P@0.6'] == pytest.approx(100 / 3) and found['own/P@0.6'] == pytest.approx(100 / 3)


def test_masks_that_grow():
    """A pixel of the input marks every pixel of the photo that it touches when it is stretched."""
    logits = torch.full((1, 12, 12), -5.0)
    logits[:, 6, 6] = 5.0
    sample = of_photo((48, 40), logits)
    sample.set_metainfo(dict(img_shape=(12, 12)))
    mask, truth = ScoringProtocol(grown=True).masks(sample.to_dict(), sample.pred_sem_seg.data)
    rows, columns = (torch.nonzero(mask[0].any(axis)).flatten() for axis in (1, 0))
    # rows whose middle, (y + 0.5) / 4 - 0.5, is less than a pixel of the input from 6; columns likewise
    assert (rows.min(), rows.max()) == (22, 29) and (columns.min(), columns.max()) == (18, 24)
    assert mask.sum() == 8 * 7 and torch.equal(truth, sample.gt_sem_seg.data)
    assert mask.sum() > mask_of(logits, (48, 40), sample).sum()
    # at a score that nothing reaches, nothing grows
    assert not ScoringProtocol(grown=True, threshold=0.999).masks(sample.to_dict(), mask)[0].any()


def test_masks_that_grow_in_a_letterbox():
    """What lies in the border of the input touches nothing of the photo."""
    box = ((0.4, 0.0, 0.0), (0.0, 0.4, 4.0))  # 40 x 60 in 24 x 24
    logits = torch.full((1, 24, 24), 3.0)
    logits[:, 4:20] = -3.0
    sample = of_photo((40, 60), logits, to_input=box)
    grown = ScoringProtocol(grown=True).masks(sample.to_dict(), sample.pred_sem_seg.data)[0][0]
    assert not grown[1:38].any()
    logits[:, 8:12] = 3.0
    sample.seg_logits = PixelData(data=logits)
    grown = ScoringProtocol(grown=True).masks(sample.to_dict(), sample.pred_sem_seg.data)[0][0]
    # rows that lie in the input at 0.4 y + 4, between 7 and 12
    assert grown[8:20].all() and not grown[1:8].any() and not grown[21:38].any()


def test_lines_categories_and_reviews_know_them(tmp_path):
    torch.manual_seed(1)
    samples = [of_photo((40, 60)) for _ in range(4)]
    for n, sample in enumerate(samples):
        sample.set_metainfo(dict(category='dog', category_id=1, reviewed_out=n == 3))
    metric = RefSegMetric(str(tmp_path), protocols=dict(small=dict(size=(24, 24), threshold=0.5)))
    found = evaluate(metric, samples, split='val')
    lines = [json.loads(line) for line in (tmp_path / 'val.jsonl').read_text().splitlines()]
    counted = [line['protocols']['small'] for line in lines]
    assert found['small/mIoU'] == pytest.approx(100 * np.mean([one['iou'] for one in counted]))
    assert found['reviewed/small/mIoU'] == pytest.approx(100 * np.mean([one['iou'] for one in counted[:3]]))
    assert counted[0]['iou'] == counted[0]['intersection'] / counted[0]['union'] != lines[0]['iou']
    assert metric.by_category['dog']['small/oIoU'] == found['small/oIoU'] != found['oIoU']
    assert 'small/P@0.5' not in metric.by_category['dog']
    assert set(found) <= set(metric.names) and 'reviewed/small/mIoU' in metric.names


def test_of_sentences_that_mean_nothing():
    torch.manual_seed(2)
    metric = GeneralizedRefSegMetric(min_pixels=1, protocols=dict(small=dict(size=(24, 24))))
    found = evaluate(metric, [of_photo((40, 60)), of_photo((24, 30))])
    assert found['small/gIoU'] > 0 and set(found) <= set(metric.names)
    with pytest.raises(ValueError, match='protocols, own: gIoU and cIoU have no added'):
        GeneralizedRefSegMetric(protocols=dict(own=dict(strict=True)))


def test_a_truth_of_the_inputs_size_is_refused():
    """Before the test, where the data set says it; else at the first sample."""
    metric = RefSegMetric(protocols=dict(common=dict(threshold=0.5)))
    with pytest.raises(ValueError, match="protocols common: the truth is at the input's size"):
        Evaluator(metric).dataset_meta = dict(protocol=dict(score_at='input'))
    sample = of_photo((24, 24))
    sample.set_metainfo(dict(ori_shape=(40, 60)))
    with pytest.raises(ValueError, match=r"a truth of the photo's own size, \(40, 60\); got one of \(24, 24\)"):
        evaluate(metric, [sample])


@pytest.mark.parametrize(
    'wrong, said',
    [
        (dict(x=dict(size=480)), 'protocols, x: '),
        (dict(x=dict(size=(0, 4))), r'protocols, x: size must be \(height, width\)'),
        (dict(x=dict(threshold=1.5)), 'protocols, x: threshold must be between 0 and 1'),
        (dict(x=dict(added=-1)), 'protocols, x: added must be'),
        (dict(x=dict(treshold=0.5)), 'protocols, x: .*treshold'),
        (dict(x=dict(size=(4, 4), grown=True)), "grown masks are compared at the photo's own size"),
        ({'a/b': {}}, 'a protocol needs a name without "/"'),
    ],
)
def test_what_cannot_be_meant(wrong, said):
    with pytest.raises(ValueError, match=said):
        RefSegMetric(protocols=wrong)


def test_in_words():
    assert str(ScoringProtocol((480, 480), 0.5)) == (
        'masks compared at 480 x 480; score above 0.5; IoU = I / U; P@X: IoU at least X'
    )
    assert str(ScoringProtocol(added=1e-6, strict=True)) == (
        "masks compared at the photo's own size; the model's own threshold; IoU = I / (U + 1e-06); P@X: IoU above X"
    )
    assert str(ScoringProtocol(grown=True)) == (
        "masks compared at the photo's own size; the model's own threshold at the input's size, then whatever it "
        'touches; IoU = I / U; P@X: IoU at least X'
    )


def test_crowds_are_scored_by_their_prediction():
    """Of an object in two parts, one of which is found: IoU 1/2, and 1 as a crowd; in one part nothing changes."""
    truth = torch.zeros(1, 4, 8, dtype=torch.long)
    truth[:, 1:3, 1:3] = truth[:, 1:3, 5:7] = 1
    pred = torch.zeros_like(truth)
    pred[:, 1:3, 1:3] = 1
    sample = dict(gt_sem_seg=dict(data=truth), seg_logits=dict(data=pred.float()), ori_shape=(4, 8))
    protocol = ScoringProtocol(crowds=True)
    for parts, union in ((1, 8), (2, 4)):
        found, of_truth = protocol.masks({**sample, 'parts': parts}, pred)
        assert torch.equal(found, pred) and ((found == 1) | (of_truth == 1)).sum() == union
        assert ((found == 1) & (of_truth == 1)).sum() == 4
    assert 'I / prediction for objects in several parts' in str(protocol)
    with pytest.raises(ValueError, match="add 'parts'"):
        protocol.masks(sample, pred)
