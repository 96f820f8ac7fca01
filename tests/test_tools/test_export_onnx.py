"""Models exported as a user does it: on the command line, and run without our code."""

import json
import os
import re
import runpy
import shutil
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from slow import slow

from mgfe_ris.apis import RISInferencer, load_model, save_folder
from mgfe_ris.apis.export.traced import Segment
from mgfe_ris.models.encoders.text import HFTokenizer
from mgfe_ris.structures import MaskRule, SegDataSample, mask_of

REPO = Path(__file__).parents[2]
TOOLS = REPO / 'tools'
README = (TOOLS / 'deployment/README.md').read_text(encoding='utf-8')


SNIPPET = next(block for block in re.findall(r'(?s)```python\n(.*?)```', README) if 'onnxruntime' in block)


@pytest.fixture
def run(monkeypatch, one_thread, capfd):
    """Runs a tool in this process -> status, lines that it printed, lines of stderr."""

    def run_tool(name: str, *args: object) -> tuple[int, list[str], list[str]]:
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        capfd.readouterr()
        status = 0
        try:
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        except SystemExit as stop:
            status = stop.code
        out, err = capfd.readouterr()
        return status, out.splitlines(), [line for line in err.splitlines() if line]

    return run_tool


@pytest.fixture
def no_work(monkeypatch):
    def fail(*_, **__):
        pytest.fail('work was begun')

    monkeypatch.setattr('mgfe_ris.apis.model.read_weights', fail)
    monkeypatch.setattr('torch.export.export', fail)


@pytest.fixture
def gentle_folder(model_folder, tmp_path_factory) -> Path:
    """The same model with weights of 0.8 times the size, where float32 rounds a thousand times less."""
    model = load_model(model_folder, device='cpu')
    with torch.no_grad():
        for value in model.parameters():
            value *= 0.8
        head = model.decode_head.classify
        head.weight *= 20
        logits = model.segment(*Segment(model).example(2, 5))
        head.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    return save_folder(model, tmp_path_factory.mktemp('model') / 'gentle')


@slow('half a minute; test_readme.py is shorter')
def test_from_a_model_to_masks_without_our_code(run, gentle_folder, refshapes, tmp_path, monkeypatch):
    # half of the time is torch's optimizer of graphs, which test_onnx.py runs
    monkeypatch.setattr('torch.onnx.export', partial(torch.onnx.export, optimize=False))
    monkeypatch.chdir(tmp_path)
    picture = cv2.imread(str(sorted(refshapes.rglob('*.jpg'))[0]))
    cv2.imwrite('photo.jpg', cv2.resize(picture, (150, 97)))

    status, out, _ = run('deployment/export_onnx.py', gentle_folder, '--out', 'exported')
    assert status == 0 and len(out) == 1
    said = re.fullmatch(r'wrote exported; logits differ from PyTorch by at most (\S+)', out[0])
    assert said and 0 < float(said[1]) < 1e-4

    status, out, _ = run('infer.py', 'photo.jpg', '--text', 'the red circle', '--model', 'exported', '--out', 'masks')
    assert status == 0
    (mask,) = Path('masks/masks').glob('*.png')
    drawn = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 0

    found: dict = {}
    exec(SNIPPET, found)
    expected = RISInferencer(gentle_folder, device='cpu')('photo.jpg', found['sentences'])
    assert len(found['masks']) == len(expected) == 2
    for ours, result in zip(found['masks'], expected, strict=True):
        sure = np.abs(result.score - 0.5) > 5e-5
        assert ours.shape == (97, 150) and ours.dtype == bool and 0.02 < ours.mean() < 0.98 and sure.mean() > 0.9
        np.testing.assert_array_equal(ours[sure], result.mask[sure])
    sure = np.abs(expected[0].score - 0.5) > 5e-5
    np.testing.assert_array_equal(drawn[sure], expected[0].mask[sure])
    imported = set(re.findall(r'(?m)^(?:import|from) (\w+)', SNIPPET))
    assert imported == {'json', 'numpy', 'onnxruntime', 'PIL', 'tokenizers'}

    status, out, err = run('deployment/export_onnx.py', 'exported', '--out', 'again')
    assert (status, out) == (2, []) and err[-1].startswith('error: expected a model with its weights')
    status, out, err = run('deployment/compare_exports.py', 'exported', 'exported')
    assert (status, out) == (2, []) and err[-1].startswith('error: exported: exported; name the model')
    status, out, err = run('infer.py', 'photo.jpg', '--text', 'x', '--model', 'exported', '--precision', 'bf16')
    assert status == 2 and err[-1] == "error: an exported model computes in fp32; got precision 'bf16'"
    assert sorted(os.listdir()) == ['exported', 'masks', 'photo.jpg']

    # the same graph, which takes long to make, with integers
    monkeypatch.setattr('mgfe_ris.apis.export.onnx.trace', lambda _: None)
    graph = SimpleNamespace(save=lambda path: shutil.copy('exported/model.onnx', path))
    monkeypatch.setattr('torch.onnx.export', lambda *_, **__: graph)
    status, out, _ = run(
        *('deployment/export_onnx.py', gentle_folder, '--out', 'int8', '--int8'),
        *('--samples', 3, '--data', refshapes),
    )
    said = 'wrote int8; int8, calibrated on 3 sentences of RefShapes, split `train`'
    assert status == 0 and out[0] == said and out[1].startswith('on 3 sentences of RefShapes, split `val`, ')
    monkeypatch.setattr('mgfe_ris.profiling.speed.MIN_SECONDS', 0.0)
    status, out, _ = run(
        *('deployment/compare_exports.py', gentle_folder, 'exported', 'int8', '--threads', 1, '--repeats', 1),
        *('--score', '--data', refshapes, '--out', 'speed.json'),
    )
    assert status == 0 and re.search(r': [\d.]+ M parameters, [\d.]+ G multiply-accumulates$', out[0])
    head, _, *rows = (line.split(' | ') for line in out if line.startswith('|'))
    assert head == ['| ', 'MB', 'ms', 'oIoU', 'mIoU |'] and [row[0] for row in rows] == [
        '| PyTorch',
        '| exported',
        '| int8',
    ]
    assert float(rows[2][1]) < float(rows[1][1]) and abs(float(rows[1][3]) - float(rows[0][3])) < 1
    assert list(json.loads(Path('speed.json').read_text())['models']) == ['PyTorch', 'exported', 'int8']


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['export_onnx.py', '--int8', '--data', 'nowhere', '--out', 'out'], 'nowhere'),
        (['export_onnx.py', '--int8', '--samples', 0, '--out', 'out'], 'samples must be 1 or more; got 0'),
        (['export_onnx.py', '--data', 'nowhere', '--out', 'out'], '--data is for --int8'),
        (['compare_exports.py', 'nowhere'], 'nowhere'),
        (['compare_exports.py', 'nowhere', '--data', 'nowhere'], '--data is for --score'),
        (['compare_exports.py', 'nowhere', '--repeats', 0], '--repeats must be 1 or more; got 0'),
    ],
)
def test_integers_and_comparisons_of_wrong_input(run, model_folder, tmp_path, monkeypatch, args, message):
    monkeypatch.setattr('torch.export.export', lambda *_, **__: pytest.fail('work was begun'))
    monkeypatch.chdir(tmp_path)
    tool, *rest = args
    status, out, err = run(f'deployment/{tool}', model_folder, *rest)
    assert (status, out) == (2, []) and 'error: ' in err[-1] and message in err[-1] and not os.listdir()


@pytest.mark.parametrize('says_no_target', [False, True])
@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize(
    'rule',
    [
        None,
        dict(threshold=0.5, of='scores', resize='bicubic', align_corners=True),  # CGFormer's
        dict(align_corners=True),  # MagNet's
        dict(threshold=0.35, resize='bicubic'),
        dict(threshold=0.35, of='scores'),
    ],
)
def test_masks_without_our_code_are_made_by_the_models_rule(tmp_path, monkeypatch, rule, channels, says_no_target):
    """Of logits of one channel or two, at a size of their own; empty where nothing is meant; padded as in training."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (50, 70, 3), np.uint8)).save('photo.jpg')
    tokenizer = HFTokenizer(max_tokens=20)
    tokenizer.tokenizer.save_pretrained('exported/tokenizer')
    preprocessor = dict(mean=[120.0] * 3, std=[60.0] * 3, tokenizer=dict(max_tokens=20))
    Path('exported/config.json').write_text(json.dumps(dict(model=dict(data_preprocessor=preprocessor, mask=rule))))
    logits = rng.normal(size=(2, channels, 16, 24)).astype(np.float32)
    no_target = np.array([-1.0, 1.0], np.float32)
    given = {}

    class Session:
        def __init__(self, path: str):
            assert path == 'exported/model.onnx'

        def get_inputs(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(shape=['batch', 3, 32, 48])]

        def run(self, names: None, inputs: dict) -> list[np.ndarray]:
            given.update(inputs)
            return [logits, no_target] if says_no_target else [logits]

    monkeypatch.setitem(sys.modules, 'onnxruntime', SimpleNamespace(InferenceSession=Session))
    found: dict = {}
    exec(SNIPPET, found)
    ids, words = tokenizer(found['sentences'])
    np.testing.assert_array_equal(given['token_ids'], ids)
    np.testing.assert_array_equal(given['word_mask'], words)
    assert given['image'].shape == (2, 3, 32, 48) and given['image'].dtype == np.float32
    for i, mask in enumerate(found['masks']):
        sample = SegDataSample(metainfo=dict(mask_rule=MaskRule(**(rule or {}))))
        if says_no_target:
            sample.no_target_logit = torch.tensor(no_target[i])
        expected = mask_of(torch.tensor(logits[i]), (50, 70), sample).numpy()
        assert mask.shape == (50, 70) and mask.dtype == bool and mask.any() == (i == 0 or not says_no_target)
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize('tool', ['export_onnx.py', 'export_torch.py'])
def test_a_folder_that_is_there(run, model_folder, tmp_path, no_work, tool):
    (tmp_path / 'mine.txt').touch()
    status, out, err = run(f'deployment/{tool}', model_folder, '--out', tmp_path)
    assert (status, out) == (2, []) and os.listdir(tmp_path) == ['mine.txt']
    assert err == [f'error: {tmp_path} is not empty; name another folder, or delete what is there']


def test_packages_that_are_missing(run, model_folder, tmp_path, no_work, monkeypatch):
    from importlib.util import find_spec

    monkeypatch.setattr('importlib.util.find_spec', lambda name: None if 'onnx' in name else find_spec(name))
    status, out, err = run('deployment/export_onnx.py', model_folder, '--out', tmp_path / 'out')
    wanted = 'error: missing: onnx, onnxscript, onnxruntime; pip install -r tools/deployment/requirements.txt'
    assert (status, out, err) == (2, [], [wanted]) and not os.listdir(tmp_path)
    packages = (TOOLS / 'deployment/requirements.txt').read_text().split()
    assert sorted(packages) == ['onnx', 'onnxruntime', 'onnxscript']


@pytest.mark.parametrize('tool', ['export_onnx.py', 'export_torch.py'])
def test_a_model_that_is_not_there(run, tmp_path, tool, model_folder):
    status, out, err = run(f'deployment/{tool}', tmp_path / 'none', '--out', tmp_path / 'out')
    assert (status, out) == (2, []) and err[-1].startswith(f'error: {tmp_path}/none: no such')
    shutil.copytree(model_folder, tmp_path / 'broken')
    (tmp_path / 'broken/model.safetensors').write_text('<html>')
    status, out, err = run(f'deployment/{tool}', tmp_path / 'broken', '--out', tmp_path / 'out')
    assert (status, out) == (2, []) and 'model.safetensors' in err[-1] and not (tmp_path / 'out').exists()
