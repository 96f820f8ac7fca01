"""What is wrong with names of metrics is said before the work, as the runner would find it after it."""

import pytest
import torch
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, LoggerHook
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from mgfe_ris.evaluation import GeneralizedRefSegMetric, RefSegMetric, check_metric_names


def evaluate(*metrics) -> dict:
    """Of two samples, one without a target."""
    evaluator = Evaluator(list(metrics))
    evaluator.dataset_meta = dict(classes=('background', 'target'))
    truth = torch.zeros(2, 1, 20, 20, dtype=torch.long)
    truth[0, :, :10] = 1
    samples = []
    for mask in truth:
        sample = SegDataSample(metainfo=dict(img_path='a.jpg'))
        sample.gt_sem_seg = sample.pred_sem_seg = PixelData(data=mask)
        samples.append(sample)
    evaluator.process(samples, {})
    return evaluator.evaluate(2)


@pytest.mark.parametrize('prefix', [None, 'ris'])
def test_the_names_known_ahead_are_those_that_come(prefix):
    for metric in (
        RefSegMetric(prefix=prefix),
        GeneralizedRefSegMetric(prefix=prefix),
        GeneralizedRefSegMetric(prefix=prefix, min_pixels=1),
        IoUMetric(prefix=prefix),
        IoUMetric(prefix=prefix, iou_metrics=['mDice', 'mIoU', 'mFscore']),
    ):
        names = list(evaluate(metric))
        assert all(name.startswith('ris/') == bool(prefix) for name in names)
        for name in names:
            check_metric_names([metric], [CheckpointHook(save_best=name, rule='greater')])
        with pytest.raises(
            ValueError, match=r"save_best='nothing': no metric of the validation has .*; there are "
        ) as e:
            check_metric_names([metric], [CheckpointHook(save_best='nothing', rule='greater')])
        assert sorted(names) == sorted(eval(str(e.value).partition('there are ')[2]))


def test_a_name_that_is_there_twice():
    for metrics in ([RefSegMetric(), IoUMetric()], [RefSegMetric(prefix='a'), RefSegMetric(prefix='a')]):
        with pytest.raises(ValueError, match='both give a metric'):
            check_metric_names(metrics)
        with pytest.raises(ValueError, match='same metric name'):
            evaluate(*metrics)
    for metrics in ([RefSegMetric(), IoUMetric(prefix='x')], [RefSegMetric(), GeneralizedRefSegMetric()]):
        check_metric_names(metrics)
        assert len(evaluate(*metrics)) > 8


def test_hooks_that_wait_for_a_name():
    of_two = CheckpointHook(save_best=['oIoU', 'gIoU'], rule='greater')
    check_metric_names([RefSegMetric(), GeneralizedRefSegMetric()], [of_two, LoggerHook()])
    with pytest.raises(ValueError, match="save_best='gIoU'"):
        check_metric_names([RefSegMetric()], [of_two])
    with pytest.raises(ValueError, match="monitor='oIoU'"):
        check_metric_names([RefSegMetric(prefix='ris')], [EarlyStoppingHook('oIoU', rule='greater')])
    for hook in (CheckpointHook(), CheckpointHook(save_best='auto'), EarlyStoppingHook('ris/oIoU', rule='greater')):
        check_metric_names([RefSegMetric(prefix='ris')], [hook])


def test_what_is_not_known_ahead_is_left_to_the_runner(tmp_path):
    foreign = DumpResults(str(tmp_path / 'x.pkl'))
    check_metric_names([RefSegMetric(), foreign], [CheckpointHook(save_best='theirs', rule='greater')])
    assert not list(tmp_path.iterdir())


def test_a_metric_that_mmseg_does_not_have():
    with pytest.raises(ValueError, match=r'IoUMetric, iou_metrics: .*mIuO'):
        check_metric_names([IoUMetric(iou_metrics=['mIuO'])])
