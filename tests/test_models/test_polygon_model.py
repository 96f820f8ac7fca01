"""A model that gives points, not logits, through everything that a model runs through in Python."""

import json
from copy import deepcopy

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmengine.structures import PixelData
from polygon_toy import SHARES, PolygonToy, write_toy

from mgfe_ris.apis import FlipTTA, RISInferencer, export_torch, load_model, read_jobs, save_folder, segment_jobs
from mgfe_ris.evaluation import LogitsHook, RefSegMetric
from mgfe_ris.evaluation.generalized import GeneralizedRefSegMetric
from mgfe_ris.polygons import filled
from mgfe_ris.profiling import Setting, Workload
from mgfe_ris.structures import SegDataSample, mask_of
from mgfe_ris.visualization.hook import picture_of

pytestmark = pytest.mark.usefixtures('one_thread')
PHOTO = np.full((50, 80, 3), 90, np.uint8)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return load_model(write_toy(tmp_path_factory.mktemp('toy') / 'model'), device='cpu')


@pytest.fixture(scope='module')
def inferencer(model):
    return RISInferencer(model)


def as_coco(outlines, height, width):
    """Each by itself, as pycocotools fills it; their union."""
    parts = [coco_mask.decode(coco_mask.frPyObjects([np.ravel(one).tolist()], height, width)) for one in outlines]
    return np.max([part[..., 0] for part in parts], axis=0) == 1


def in_photo(outlines, height, width, side=128):
    """From shares of the letterbox to pixels of the photo, by hand."""
    scale = min(side / height, side / width)
    border = np.array([side - scale * width, side - scale * height]) / 2
    return [(np.array(one) * side - 0.5 - border) / scale + 0.5 for one in outlines]


# Geometry


def test_polygons_are_filled_as_coco_does_it():
    outlines = [np.array(one) * [60, 40] for one in SHARES]
    padded = np.full((3, 5, 2), np.nan)
    for place, outline in zip(padded, outlines, strict=False):
        place[: len(outline)] = outline
    np.testing.assert_array_equal(filled(padded, (40, 60)), as_coco(outlines, 40, 60))
    # NaN anywhere: a vertex that is none
    np.testing.assert_array_equal(filled(padded[:, [4, 0, 1, 2, 3]], (40, 60)), filled(padded, (40, 60)))


def test_a_box_is_a_polygon_of_four_and_two_points_are_nothing():
    left, top, width, height = 3.3, 5.7, 20.2, 11.9
    right, bottom = left + width, top + height
    corners = np.array([[[left, top], [left, bottom], [right, bottom], [right, top]]])
    box = coco_mask.decode(coco_mask.frPyObjects(np.array([[left, top, width, height]]), 40, 60))[..., 0]
    np.testing.assert_array_equal(filled(corners, (40, 60)), box == 1)
    assert not filled(corners[:, :2], (40, 60)).any() and not filled(corners[:, :0], (40, 60)).any()


def sample_of(polygons, **known):
    sample = SegDataSample(metainfo=known)
    sample.polygons = torch.as_tensor(polygons)
    return sample


def test_a_stretched_photo():
    drawn = torch.tensor([SHARES[0]], dtype=torch.float64) * torch.tensor([32, 16])
    sample = sample_of(drawn, img_shape=(16, 32))
    for size in ((16, 32), (50, 80)):
        expected = as_coco([np.array(SHARES[0]) * size[::-1]], *size)
        np.testing.assert_array_equal(mask_of(None, size, sample).numpy(), expected)


@pytest.mark.parametrize('height, width', [(50, 80), (90, 30)])
def test_a_letterbox_is_undone(inferencer, height, width):
    """A square around the photo's middle stays one; and a protocol's size is stretched from the photo."""
    (result,) = inferencer(np.zeros((height, width, 3), np.uint8), ['red'])
    outlines = in_photo(SHARES[:1], height, width)
    np.testing.assert_array_equal(result.mask, as_coco(outlines, height, width))
    data = inferencer.prepare(np.zeros((height, width, 3), np.uint8), 'red')
    (sample,) = inferencer.model.test_step(data)
    assert sample.pred_sem_seg.data.shape == (1, 128, 128)
    np.testing.assert_array_equal(sample.pred_sem_seg.data[0] == 1, as_coco([np.array(SHARES[0]) * 128], 128, 128))
    stretched = as_coco([one * [40 / width, 24 / height] for one in outlines], 24, 40)
    np.testing.assert_array_equal(mask_of(None, (24, 40), sample, stretched_from=(height, width)).numpy(), stretched)


def test_vertices_far_out_take_no_memory():
    polygons = torch.tensor([[[-1e12, -1e12], [1e12, -1e12], [1e12, 1e12], [-1e12, 1e12]]])
    assert mask_of(None, (40, 60), sample_of(polygons, img_shape=(20, 30))).all()


def test_what_cannot_be_meant():
    triangle = torch.zeros(1, 3, 2)
    with pytest.raises(ValueError, match=r'no score of its own, which could be above a threshold; got threshold=0\.5'):
        mask_of(None, (4, 4), sample_of(triangle, img_shape=(4, 4)), 0.5)
    with pytest.raises(ValueError, match='polygons need img_shape'):
        mask_of(None, (4, 4), sample_of(triangle))


# Model and results


def test_results_have_masks_and_no_scores(inferencer, tmp_path):
    both, first = inferencer(PHOTO, ['the red ring', 'red'])
    assert both.area > first.area > 0 and (both.mask | first.mask == both.mask).all()
    assert both.score is None and both.confidence is None
    assert repr(first).endswith(f'area={first.area}, no scores)')
    line = json.loads(json.dumps(both.to_json()))
    assert line['confidence'] is None and line['rle'] == both.rle and line['box'] == list(both.box)
    paths = both.save(tmp_path, 'found')
    assert all(path.is_file() for path in paths)


def test_nothing_drawn_is_an_empty_mask(model):
    silent = deepcopy(model)
    silent.silent = int(model.data_preprocessor.tokenizer(['red'])[0][0, 0])
    result = RISInferencer(silent)(PHOTO, 'red')
    assert (result.area, result.box, result.confidence) == (0, None, None) and not result.means_nothing


def test_an_own_threshold_is_refused_at_once(inferencer, tmp_path):
    assert inferencer.threshold is None and inferencer.choose_threshold(None) is None
    for ask in (
        lambda: inferencer(PHOTO, 'red', threshold=0.4),
        lambda: inferencer.stream([], 0.4),
        lambda: segment_jobs(inferencer, [], tmp_path / 'none', 0.4),
    ):
        with pytest.raises(
            ValueError, match=r'no score of its own, which could be above 0\.4; leave the threshold away'
        ):
            ask()
    assert not (tmp_path / 'none').exists()


def test_a_folder_of_results(inferencer, refshapes, tmp_path):
    photo = sorted((refshapes / 'images/refshapes').iterdir())[0]
    for _ in range(2):  # the second time goes on
        assert [error for _, error in segment_jobs(inferencer, read_jobs(photo, ['red ring']), tmp_path / 'found')] == [
            None
        ]
    (line,) = (json.loads(text) for text in (tmp_path / 'found/results.jsonl').read_text().splitlines())
    assert line['confidence'] is None and line['area'] > 0
    assert json.loads((tmp_path / 'found/settings.json').read_text())['threshold'] is None


def test_a_folder_of_the_model_computes_the_same(model, inferencer, tmp_path):
    again = RISInferencer(save_folder(model, tmp_path / 'again'), device='cpu')
    np.testing.assert_array_equal(again(PHOTO, 'red').mask, inferencer(PHOTO, 'red').mask)


def test_it_trains_on_losses_of_its_own(model):
    trained = deepcopy(model).train()
    data = RISInferencer(model).prepare(PHOTO, 'red')
    for sample in data['data_samples']:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 128, 128, dtype=torch.long))
    losses = trained(**trained.data_preprocessor(data, training=True), mode='loss')
    assert losses.keys() == {'loss_middle'} and losses['loss_middle'].requires_grad
    with pytest.raises(ValueError, match='PolygonToy has no loss to train with: override segment_with_losses'):
        super(PolygonToy, trained).segment_with_losses(*[torch.zeros(1)] * 4)


def test_another_shape_than_vertices_is_named(model):
    with pytest.raises(ValueError, match=r'PolygonToy.*must give vertices.*got \(1, 2, 3\)'):
        model.predict(torch.zeros(1, 2, 3), [SegDataSample()])


def test_the_speed_of_a_step_is_that_of_filled_masks(model):
    work = Workload(deepcopy(model), Setting(size=(128, 128), words=5))
    work.start()
    np.testing.assert_array_equal(work.step()[0], as_coco([np.array(one) * 128 for one in SHARES], 128, 128))


# What needs scores


def test_what_averages_or_exports_logits_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match='mean of two readings; the model draws polygons'):
        FlipTTA(model)
    with pytest.raises(ValueError, match='an exported graph gives logits; the model draws polygons'):
        export_torch(model, tmp_path / 'exported')
    assert not (tmp_path / 'exported').exists()
    sample = sample_of(torch.zeros(1, 3, 2), img_shape=(4, 4), ori_shape=(4, 4))
    with pytest.raises(ValueError, match='logits cannot be saved: the model draws polygons'):
        LogitsHook(str(tmp_path)).encode(sample)


# Metrics and pictures


@pytest.fixture
def tested(inferencer, tmp_path):
    """A sample with a truth at the photo's size, and its mask at the input's."""
    (sample,) = inferencer.model.test_step(inferencer.prepare(PHOTO, 'red'))
    truth = torch.zeros(1, 50, 80, dtype=torch.long)
    truth[:, 10:40, 5:50] = 1
    sample.gt_sem_seg = PixelData(data=truth)
    sample.set_metainfo(dict(img_path='a.jpg', img_id=1, ref_id=2, sent_id=3, sentence='red'))
    return sample


def iou_of(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_metrics_and_protocols_fill_at_their_sizes(tested, tmp_path):
    protocols = dict(small=dict(size=(25, 40)), own=dict(added=1e-6))
    metric = RefSegMetric(per_sample=str(tmp_path), coco_json=True, protocols=protocols)
    metric.dataset_meta = dict(split='val')
    metric.process({}, [tested.to_dict()])
    metrics = metric.compute_metrics(metric.results)
    truth = tested.gt_sem_seg.data[0].numpy() == 1
    mask = as_coco(in_photo(SHARES[:1], 50, 80), 50, 80)
    small = as_coco([one / 2 for one in in_photo(SHARES[:1], 50, 80)], 25, 40)
    assert metrics['oIoU'] == pytest.approx(100 * iou_of(mask, truth))
    assert metrics['small/oIoU'] == pytest.approx(100 * iou_of(small, truth[1::2, 1::2]))
    (line,) = json.loads((tmp_path / 'val.coco.json').read_text())
    assert 'score' not in line and coco_mask.decode(line['segmentation']).sum() == mask.sum()
    generalized = GeneralizedRefSegMetric()
    generalized.process({}, [tested.to_dict()])
    assert generalized.results[0]['no_target'] == -1 and generalized.results[0]['pred_pixels'] == mask.sum()


def test_a_protocol_with_a_threshold_is_refused(tested):
    metric = RefSegMetric(protocols=dict(common=dict(threshold=0.5)))
    with pytest.raises(ValueError, match=r'no score of its own, which could be above a threshold; got threshold=0\.5'):
        metric.process({}, [tested.to_dict()])


def test_a_picture_of_a_sample(tested, tmp_path):
    from PIL import Image

    Image.fromarray(PHOTO).save(tmp_path / 'photo.png')
    tested.set_metainfo(dict(img_path=str(tmp_path / 'photo.png')))
    assert picture_of(tested).dtype == np.uint8
