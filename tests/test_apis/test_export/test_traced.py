"""A model as a graph of torch.export: the same logits without our code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from needs import exact_export
from slow import slow
from torch._inductor.exc import InvalidCxxCompiler

from mgfe_ris.apis import OnnxSegmentor, build_model, load_config
from mgfe_ris.apis.export.traced import Segment, export_torch, trace

pytestmark = pytest.mark.usefixtures('one_thread')
SIZE = 'test_dataloader.dataset.pipeline.0.transforms.1.scale'
BATCHES = ((1, 2), (1, 20), (2, 5), (5, 3))


@pytest.fixture
def small(small_model):
    torch.manual_seed(0)
    model = build_model(load_config('mgfe-ris_tiny_refshapes', small_model)).eval()
    torch.nn.init.normal_(model.decode_head.classify.weight)
    return model


ALONE = """
import sys, torch
given, graph = torch.load('given.pt'), torch.export.load('out/model.pt2').module()
torch.save([graph(*batch) for batch in given], 'found.pt')
assert not any(name.startswith(('mgfe_ris', 'mmengine', 'transformers')) for name in sys.modules)
"""


@torch.no_grad()
def test_a_file_that_needs_only_torch(small, tmp_path):
    assert export_torch(small, tmp_path / 'out') < 1e-6
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'model.pt2',
        'config.json',
        'tokenizer',
        'README.md',
    }
    graph = Segment(small)
    given = [graph.example(*sizes, seed=7) for sizes in BATCHES]
    torch.save(given, tmp_path / 'given.pt')
    subprocess.run([sys.executable, '-W', 'ignore', '-c', ALONE], cwd=tmp_path, check=True, env=one_thread_env())
    for batch, found in zip(given, torch.load(tmp_path / 'found.pt'), strict=True):
        expected = small(*batch)
        assert expected.std() > 0.1
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def one_thread_env() -> dict:
    return {**os.environ, 'OMP_NUM_THREADS': '1'}


@exact_export
@torch.no_grad()
def test_no_size_is_taken_for_a_constant(small_swin):
    """Of a ViT, which resizes its positions; Swin's windows are traced in test_onnx.py."""
    vit = dict(_delete_=True, embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)
    options = {k: v for k, v in small_swin.items() if not k.startswith('model.encoder.')}
    options |= {
        'model.encoder.arch': vit,
        'model.neck.channels': (32,) * 4,
        'model.decode_head.channels': (32,) * 4,
        SIZE: (96, 96),
    }
    torch.manual_seed(0)
    graph = Segment(build_model(load_config('mgfe-ris_vit-base-dino_refcoco', options, from_scratch=True)))
    traced = trace(graph).module()
    for sizes in BATCHES:
        given = graph.example(*sizes, seed=7)
        torch.testing.assert_close(traced(*given), graph(*given), atol=1e-5, rtol=0)


@torch.no_grad()
@slow('a minute of g++')
def test_aot_inductor(small, tmp_path):
    export_torch(small, tmp_path / 'out', compile=True)
    run = torch._inductor.aoti_load_package(str(tmp_path / 'out/model.pt2'))
    for sizes in BATCHES:
        given = Segment(small).example(*sizes, seed=7)
        torch.testing.assert_close(run(*given), small(*given), atol=1e-4, rtol=0)


def fail() -> str:
    raise InvalidCxxCompiler


def test_what_is_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr('torch.export.export', lambda *_, **__: pytest.fail('work was begun'))
    (tmp_path / 'there').mkdir()
    (tmp_path / 'there/mine').touch()
    with pytest.raises(FileExistsError, match='there is not empty'):
        export_torch(small, tmp_path / 'there')
    with pytest.raises(ValueError, match='expected a model with its weights, got a OnnxSegmentor'):
        export_torch(OnnxSegmentor.__new__(OnnxSegmentor), tmp_path / 'out')
    with monkeypatch.context() as patch:
        patch.setattr('torch._inductor.cpp_builder.get_cpp_compiler', fail)
        with pytest.raises(ValueError, match=r'needs a C\+\+ compiler, e\.g\. g\+\+, on PATH'):
            export_torch(small, tmp_path / 'out', compile=True)
    small.cfg.test_dataloader.dataset.pipeline = [dict(type='LoadPhoto')]
    with pytest.raises(ValueError, match='expected one Resize'):
        export_torch(small, tmp_path / 'out')
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ['there']
