"""A graph of ONNX with integers: smaller, with nearly the same masks, and it says what it is."""

import copy
import json
import os
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.structures import PixelData
from needs import exact_export
from onnx import TensorProto, helper, numpy_helper

from mgfe_ris.apis import OnnxSegmentor, RISInferencer, build_model, compare_exports, export_int8, load_config
from mgfe_ris.apis.export.int8 import compare_masks, quantize, shrink_tables
from mgfe_ris.apis.export.onnx import write_checked
from mgfe_ris.apis.export.samples import ConfigSamples
from mgfe_ris.apis.export.traced import Segment

pytestmark = [pytest.mark.usefixtures('one_thread'), exact_export]


@pytest.fixture(scope='module')
def model(small_model, refshapes) -> torch.nn.Module:
    """Random weights; half of all pixels are in a mask."""
    torch.manual_seed(0)
    model = build_model(load_config('mgfe-ris_tiny_refshapes', {**small_model, 'data_root': str(refshapes)})).eval()
    with torch.no_grad():
        model.decode_head.classify.weight.normal_()
        logits = model(*Segment(model).example(2, 5))
        model.decode_head.classify.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    return model


@pytest.fixture(scope='module')
def both(model, tmp_path_factory) -> SimpleNamespace:
    """Folders of ``int8`` and of ``float``, which it was made of; and what was ``said``."""
    root = tmp_path_factory.mktemp('exported')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mgfe_ris.apis.export.int8.write_checked', partial(_written_twice, root / 'float'))
        said = export_int8(model, root / 'int8', samples=6)
    return SimpleNamespace(int8=root / 'int8', float=root / 'float', said=said)


def _written_twice(copied: Path, model: torch.nn.Module, folder: Path, tolerance: float) -> None:
    write_checked(model, folder, tolerance)
    shutil.copytree(folder, copied)


def test_the_graph_has_integers_and_nearly_the_same_masks(both):
    exact, integers = (onnx.load(folder / 'model.onnx').graph for folder in (both.float, both.int8))
    kinds = {value.name: value.data_type for value in integers.initializer}
    made_by = {name: node.op_type for node in integers.node for name in node.output}

    def sources(kind: str) -> list[set]:
        """Of each node of a kind, what its weights are made by, or their type where they are stored as they are."""
        nodes = [node for node in integers.node if node.op_type == kind]
        return [{made_by.get(node.input[1], kinds.get(node.input[1]))} for node in nodes]

    convolutions, products = sources('Conv'), [*sources('Gemm'), *sources('MatMul')]
    assert len(convolutions) > 20 and sum(made != {'Mul'} for made in convolutions) == 1, 'the last layer has floats'
    assert {'DequantizeLinear'} in products and {TensorProto.FLOAT} not in products
    tables = [kind for name, kind in kinds.items() if name.endswith('word_embeddings.weight_integers')]
    assert tables == [TensorProto.INT8]
    small, large = (sum(len(value.raw_data) for value in graph.initializer) for graph in (integers, exact))
    assert small < 0.5 * large
    assert 0 < both.said.differ < 0.1 and 0.8 < both.said.iou < 1
    assert not list(both.int8.glob('model.onnx?*'))


def test_the_inferencer_runs_it(both, refshapes):
    photo = sorted(refshapes.rglob('*.jpg'))[0]
    exact, integers = (
        RISInferencer(folder)(photo, ['red ring', 'the blue star']) for folder in (both.float, both.int8)
    )
    for one, other in zip(exact, integers, strict=True):
        assert 0.02 < one.mask.mean() < 0.98, 'a mask that tells nothing'
        assert (one.mask != other.mask).mean() < 0.1 and not np.array_equal(one.score, other.score)


def test_the_folder_says_what_it_is(both):
    said = asdict(both.said)
    assert json.loads((both.int8 / 'config.json').read_text())['origin']['int8'] == said
    assert (said['sentences'], said['compared']) == (6, 6)
    assert said['calibrated_on'] == 'RefShapes, split `train`' and said['compared_on'] == 'RefShapes, split `val`'
    line = 'integers of 8 bits (int8), whose ranges are those of 6 sentences of RefShapes, split `train`.'
    assert line in (both.int8 / 'README.md').read_text() and 'int8' not in (both.float / 'README.md').read_text()
    assert '/tmp' not in (both.int8 / 'config.json').read_text()


def test_masks_are_compared_pixel_by_pixel():
    def drawing(*rows: str) -> SimpleNamespace:
        masks = iter(torch.tensor([[[c == '#' for c in row] for row in mask.split()]]) for mask in rows)
        return SimpleNamespace(test_step=lambda _: [SimpleNamespace(pred_sem_seg=PixelData(data=next(masks).long()))])

    assert compare_masks(drawing('## ..', '.. ..'), drawing('#. #.', '.. .#'), [{}, {}]) == (3 / 8, 1 / 4)
    assert compare_masks(drawing('.. ..'), drawing('.. ..'), [{}]) == (0, 1)


# The numbers


def _run(path: Path, **inputs: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(path).run(None, inputs)[0]


def _save(path: Path, nodes: list, inputs: dict, weights: dict) -> Path:
    values = [helper.make_tensor_value_info(name, *form) for name, form in inputs.items()]
    out = [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)]
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, 'graph', values, out, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9), path)
    return path


def test_weights_of_a_convolution_are_integers_and_it_computes_with_floats(tmp_path):
    """Channels whose weights differ a hundredfold; the last layer stays as it is."""
    rng = np.random.default_rng(0)
    scale = np.array([0.02, 0.1, 1, 2], np.float32)[:, None, None, None]
    weights = dict(
        w=rng.normal(size=(4, 3, 3, 3)).astype(np.float32) * scale,
        last=rng.normal(size=(4, 4, 1, 1)).astype(np.float32),
        shape=np.array([1, 4, 16, 16]),
    )
    nodes = [
        helper.make_node('Conv', ['x', 'w'], ['c'], 'conv', pads=[1, 1, 1, 1]),
        helper.make_node('Relu', ['c'], ['a'], 'relu'),
        helper.make_node('Conv', ['a', 'last'], ['r'], 'classify'),
        helper.make_node('Reshape', ['r', 'shape'], ['y'], 'reshape'),
    ]
    source = _save(tmp_path / 'float.onnx', nodes, dict(x=(TensorProto.FLOAT, [1, 3, 16, 16])), weights)
    photos = [rng.normal(size=(1, 3, 16, 16)).astype(np.float32) for _ in range(4)]
    quantize(source, tmp_path / 'int8.onnx', [dict(x=photo) for photo in photos])
    stored = {value.name: numpy_helper.to_array(value) for value in onnx.load(tmp_path / 'int8.onnx').graph.initializer}
    integers, factors = stored['w_integers'], stored['w_factors']
    assert np.abs(integers).max((1, 2, 3)).tolist() == [127] * 4 and 'w' not in stored and 'last' in stored
    assert np.abs(integers * factors - weights['w']).max() <= factors.max() * 0.5001
    exact, found = _run(source, x=photos[0]), _run(tmp_path / 'int8.onnx', x=photos[0])
    written = {**weights, 'w': integers * factors}
    as_written = _run(
        _save(tmp_path / 'written.onnx', nodes, dict(x=(TensorProto.FLOAT, [1, 3, 16, 16])), written), x=photos[0]
    )
    assert np.abs(found - as_written).max() < 1e-5 < np.abs(exact - found).max() < 0.2


def test_a_linear_layer_computes_with_integers_of_seven_bits(tmp_path):
    rng = np.random.default_rng(0)
    weights = dict(w=(rng.normal(size=(6, 4)) * [0.02, 0.1, 1, 2]).astype(np.float32), last=np.eye(4, dtype=np.float32))
    nodes = [
        helper.make_node('MatMul', ['x', 'w'], ['c'], 'linear'),
        helper.make_node('MatMul', ['c', 'last'], ['y'], 'classify'),
    ]
    source = _save(tmp_path / 'float.onnx', nodes, dict(x=(TensorProto.FLOAT, [5, 6])), weights)
    batches = [rng.normal(size=(5, 6)).astype(np.float32) for _ in range(4)]
    quantize(source, tmp_path / 'int8.onnx', [dict(x=batch) for batch in batches])
    graph = onnx.load(tmp_path / 'int8.onnx').graph
    stored = [numpy_helper.to_array(v) for v in graph.initializer if v.data_type == TensorProto.INT8]
    (integers,) = (value for value in stored if value.shape == weights['w'].shape)
    assert np.abs(integers).max(0).tolist() == [64] * 4
    assert [node.op_type for node in graph.node].count('MatMul') == 2
    exact, found = _run(source, x=batches[0]), _run(tmp_path / 'int8.onnx', x=batches[0])
    assert 0 < np.abs(exact - found).max() < 0.1


def test_each_word_keeps_its_own_range(tmp_path):
    """Of a table of which rows are read; one that is multiplied by, too, stays."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 8)).astype(np.float32) * np.logspace(-3, 2, 300, dtype=np.float32)[:, None]
    table[7] = 0
    nodes = [
        helper.make_node('Gather', ['table', 'ids'], ['words']),
        helper.make_node('Gather', ['both', 'ids'], ['others']),
        helper.make_node('MatMul', ['both', 'eye'], ['product']),
        helper.make_node('Gather', ['product', 'ids'], ['more']),
        helper.make_node('Sum', ['words', 'others', 'more'], ['y']),
    ]
    other = np.zeros_like(table)
    weights = dict(table=table, both=other, eye=np.eye(8, dtype=np.float32))
    source = _save(tmp_path / 'float.onnx', nodes, dict(ids=(TensorProto.INT64, ['batch', 'words'])), weights)
    graph = onnx.load(source)
    shrink_tables(graph.graph)
    onnx.save(graph, tmp_path / 'int8.onnx')
    kinds = {value.name: value.data_type for value in graph.graph.initializer}
    assert kinds.keys() == {'table_integers', 'table_factors', 'both', 'eye'}
    assert kinds['table_integers'] == TensorProto.INT8
    ids = np.arange(300).reshape(20, 15)
    found = _run(tmp_path / 'int8.onnx', ids=ids).reshape(300, 8)
    bound = np.abs(table).max(1, keepdims=True) / 253
    assert (np.abs(found - table) <= bound).all() and not np.array_equal(found, table)


# The data


def test_samples_are_evenly_spaced_and_the_same_each_time(model):
    before = np.random.get_state()[1].tolist()
    samples = ConfigSamples(model.cfg, 'train', 5)
    first, second = ([sample['data_samples'][0] for sample in samples] for _ in range(2))
    assert [s.sentence for s in first] == [s.sentence for s in second] and len(samples) == len(first) == 5
    assert len({s.img_id for s in first}) == 5 and np.random.get_state()[1].tolist() == before
    assert len(ConfigSamples(model.cfg, 'train', 10**6)) < 1000


@pytest.mark.parametrize(
    ('change', 'kind', 'message'),
    [
        (dict(train_dataloader=None), ValueError, 'no train_dataloader, whose samples are needed'),
        (dict(val_dataloader=None), ValueError, 'no val_dataloader, whose samples are needed'),
        ({'train_dataloader.dataset.data_root': 'nowhere'}, FileNotFoundError, 'nowhere'),
        ({'train_dataloader.dataset.split': 'testZ'}, ValueError, 'testZ'),
    ],
)
def test_data_that_is_missing(model, tmp_path, monkeypatch, change, kind, message):
    monkeypatch.setattr('torch.export.export', lambda *_, **__: pytest.fail('work was begun'))
    other = copy.copy(model)
    other.cfg = copy.deepcopy(model.cfg)
    other.cfg.merge_from_dict(change)
    with pytest.raises(kind, match=message) as caught:
        export_int8(other, tmp_path / 'out')
    assert '\n' not in str(caught.value) and not os.listdir(tmp_path)


def test_an_empty_data_set(model, tmp_path, monkeypatch):
    monkeypatch.setattr('mgfe_ris.datasets.seeded.SeededDataset.__len__', lambda _: 0)
    with pytest.raises(ValueError, match='the data set of train_dataloader is empty'):
        export_int8(model, tmp_path / 'out')
    with pytest.raises(ValueError, match='samples must be 1 or more; got 0'):
        export_int8(model, tmp_path / 'out', samples=0)


# Side by side


def test_a_model_beside_its_exports(model, both, monkeypatch):
    monkeypatch.setattr('mgfe_ris.profiling.speed.MIN_SECONDS', 0.0)
    folders = [both.float, both.int8]
    costs, rows = compare_exports(model, folders, repeats=2, score=True)
    assert list(rows) == ['PyTorch', *map(str, folders)]
    assert costs['parameters'] * 1e6 == pytest.approx(sum(p.numel() for p in model.parameters()))
    assert 0 < costs['macs'] < 1
    for folder in folders:
        assert rows[str(folder)]['bytes'] == (folder / 'model.onnx').stat().st_size
    exact, float32, int8 = rows.values()
    assert all(row['ms'] > 0 for row in rows.values())
    assert float32['mIoU'] == pytest.approx(exact['mIoU'], abs=0.5)
    assert exact['mIoU'] != int8['mIoU'] == pytest.approx(exact['mIoU'], abs=10)
    assert OnnxSegmentor(both.int8).fingerprint() != OnnxSegmentor(both.float).fingerprint()


def test_what_cannot_be_compared(model, both, monkeypatch):
    other = copy.copy(model)
    other.cfg = copy.deepcopy(model.cfg)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        compare_exports(model, ['nowhere'])
    monkeypatch.setattr('mgfe_ris.apis.export.compare.input_size', lambda _: (96, 64))
    with pytest.raises(ValueError, match=r'exported for photos of \(64, 64\) pixels, the model takes \(96, 64\)'):
        compare_exports(model, [both.float])
