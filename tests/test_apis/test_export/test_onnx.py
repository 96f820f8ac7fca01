"""A model as ONNX: the same logits, masks and boxes, in a folder of its own."""

import copy
import os
import re
import resource
import shutil
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from needs import exact_export
from slow import slow

from mgfe_ris.apis import (
    OnnxSegmentor,
    RISInferencer,
    build_model,
    export_onnx,
    find_rows,
    load_config,
    load_model,
    row_config,
)
from mgfe_ris.apis.export.traced import Segment

pytestmark = [pytest.mark.usefixtures('one_thread'), exact_export]
INPUTS = ('image', 'token_ids', 'word_mask')
SENTENCES = ['red ring on the left', 'blue star', 'the large green square behind the ring']
SIZE = 'test_dataloader.dataset.pipeline.0.transforms.1.scale'


def some_model(config: str, options: dict | None = None) -> torch.nn.Module:
    """Random weights, none as it is made, and masks that are neither empty nor full."""
    torch.manual_seed(0)
    model = build_model(load_config(config, options, from_scratch=True))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
        model.eval().decode_head.classify.weight.normal_(std=1.0)
        logits = model(*Segment(model).example(2, 5))
        model.decode_head.classify.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    return model


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> SimpleNamespace:
    """At its real size: the ``model``, ``worst`` as it was said, and the ``folder``."""
    model = some_model('mgfe-ris_tiny_refshapes')
    folder = tmp_path_factory.mktemp('exported') / 'tiny'
    return SimpleNamespace(model=model, worst=export_onnx(model, folder), folder=folder)


@pytest.fixture
def copied(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny.folder, tmp_path / 'copied'))


def batch(photos: int, words: int, size: tuple[int, int], vocabulary: int = 400) -> tuple[torch.Tensor, ...]:
    """Sentences of all lengths from 2 to ``words``."""
    generator = torch.Generator().manual_seed(99)
    ids = torch.randint(vocabulary, (photos, words), generator=generator)
    lengths = torch.randint(2, words + 1, (photos, 1), generator=generator)
    lengths[0] = words
    return torch.randn(photos, 3, *size, generator=generator), ids, torch.arange(words) < lengths


def differences(model: torch.nn.Module, folder: Path, batches: list[tuple[int, int]]) -> list[float]:
    """Of logits, plain onnxruntime beside the model."""
    session = onnxruntime.InferenceSession(folder / 'model.onnx')
    size = tuple(session.get_inputs()[0].shape[2:])
    found = []
    for photos, words in batches:
        given = batch(photos, words, size)
        (logits,) = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, given, strict=True)})
        with torch.no_grad():
            expected = model(*given).numpy()
        assert logits.shape == expected.shape and expected.std() > 0.1, expected.std()
        found.append(float(np.abs(logits - expected).max()))
    return found


# The numbers


def test_logits_of_the_tiny_model(tiny):
    assert max(differences(tiny.model, tiny.folder, [(1, 2), (1, 20), (2, 5), (5, 3), (9, 20)])) < 1e-4
    assert 0 < tiny.worst < 1e-4
    print_times(tiny.model, tiny.folder, (64, 64))


@slow('half a minute')
@pytest.mark.parametrize('optimize', [False, True])
def test_logits_of_a_narrow_swin(small_swin, tmp_path, monkeypatch, optimize):
    """Windows of 12: shifted, padded, a single one."""
    monkeypatch.setattr('torch.onnx.export', partial(torch.onnx.export, optimize=optimize))
    model = some_model('mgfe-ris_swin-base_refcoco', {**small_swin, SIZE: (96, 96)})
    export_onnx(model, tmp_path / 'out')
    assert max(differences(model, tmp_path / 'out', [(1, 2), (1, 20), (2, 5), (5, 3), (4, 20)])) < 1e-4


def with_attention_of(row: str, options: dict) -> torch.nn.Module:
    """A model of Table 6, in the place of whose attention another module stands."""
    torch.manual_seed(0)
    model = build_model(row_config(find_rows('table6')[row], 'refshapes', options=options)).eval()
    for parameter in model.neck.parameters():  # as they begin, all pixels are nearly alike, and norms enlarge rounding
        torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.normal_(model.decode_head.classify.weight)
    return model


@torch.no_grad()
@pytest.mark.parametrize('row', ['1_efn', '2_brinet'])
def test_attentions_of_rivals_which_have_no_heads(row, small_model, tmp_path):
    """The module of a stage by itself: what is around it is the tiny model's."""
    attention = with_attention_of(row, small_model).neck.attention[2].requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    v, words = torch.randn(2, 32, 8, 8, generator=generator), torch.randn(2, 7, 32, generator=generator)
    mask = torch.arange(7) < torch.tensor([[4], [7]])
    program = torch.onnx.export(attention, (v, words, mask), dynamo=True, input_names=['v', *INPUTS[1:]], verbose=False)
    program.save(str(tmp_path / 'attention.onnx'))
    session = onnxruntime.InferenceSession(tmp_path / 'attention.onnx')
    given = {part.name: value.numpy() for part, value in zip(session.get_inputs(), (v, words, mask), strict=True)}
    (g,) = session.run(None, given)
    expected = attention(v, words, mask)
    assert expected.std() > 0.1
    np.testing.assert_allclose(g, expected.numpy(), atol=1e-3, rtol=0)


@slow('minutes and 6 GB')
def test_logits_at_full_shape(tmp_path):
    """Swin-B, BERT-base, 480 px: what ``tools/deployment/README.md`` says of it."""
    torch.set_num_threads(os.cpu_count() or 1)
    # as training starts: some_model would have logits of 120, and PyTorch's own would be 4e-3 from float64
    torch.manual_seed(0)
    model = build_model(load_config('mgfe-ris_swin-base_refcoco', from_scratch=True)).eval()
    model.init_weights()
    begin = time.perf_counter()
    export_onnx(model, tmp_path / 'out')
    took = time.perf_counter() - begin
    found = differences(model, tmp_path / 'out', [(1, 2), (2, 5), (4, 20)])
    size = sum(path.stat().st_size for path in (tmp_path / 'out').glob('model.onnx*'))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'\n{took:.0f} s, {size / 1e6:.0f} MB, {peak:.1f} GiB of memory, differences {found}')
    print_times(model, tmp_path / 'out', (480, 480))
    assert max(found) < 1e-4


@torch.no_grad()
def print_times(model: torch.nn.Module, folder: Path, size: tuple[int, int]) -> None:
    """The best of seven forwards of one photo, in turn; see ``pytest -s``."""
    given, seconds = batch(1, 10, size), {}
    for name, run in (('pytorch', model), ('onnxruntime', OnnxSegmentor(folder))) * 7:
        begin = time.perf_counter()
        run(*given)
        seconds.setdefault(name, []).append(time.perf_counter() - begin)
    best = {name: min(values) for name, values in seconds.items()}
    print(f'\n{best} seconds a photo, a ratio of {best["pytorch"] / best["onnxruntime"]:.2f}')


def test_what_the_graph_takes_and_gives(tiny):
    graph = onnx.load(tiny.folder / 'model.onnx').graph
    types = {onnx.TensorProto.FLOAT: 'float', onnx.TensorProto.INT64: 'int64', onnx.TensorProto.BOOL: 'bool'}
    found = {
        value.name: (
            types[value.type.tensor_type.elem_type],
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    }
    assert found == {
        'image': ('float', ['batch', 3, 64, 64]),
        'token_ids': ('int64', ['batch', 'words']),
        'word_mask': ('bool', ['batch', 'words']),
        'logits': ('float', ['batch', 2, 64, 64]),
    }


# In the place of the model


@pytest.fixture(scope='module')
def both(tiny) -> tuple[RISInferencer, RISInferencer]:
    return RISInferencer(tiny.model), RISInferencer(tiny.folder)


def photo(seed: int, size: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 15, 3), dtype=np.uint8)
    return cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)


def assert_same(ours: list, theirs: list) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert 0.02 < a.mask.mean() < 0.98, 'a mask that tells nothing'
        np.testing.assert_allclose(a.score, b.score, atol=1e-4)
        sure = np.abs(a.score - 0.5) > 1e-4
        np.testing.assert_array_equal(a.mask[sure], b.mask[sure])
        assert sure.mean() > 0.99 and a.sentence == b.sentence
        if (a.mask == b.mask).all():
            assert (a.box, a.area) == (b.box, b.area)


def test_several_sentences_about_one_photo(both):
    ours, theirs = (inferencer(photo(0, (150, 97)), SENTENCES) for inferencer in both)
    assert_same(ours, theirs)
    assert not np.array_equal(ours[0].score, ours[1].score), 'the sentence is not heard'


def test_several_photos(both):
    photos = [photo(1, (150, 97)), photo(2, (64, 64)), photo(3, (30, 200))]
    assert_same(*(inferencer(photos, SENTENCES) for inferencer in both))


def test_real_photos(both, coco_ref):
    photos = sorted((coco_ref / 'images').glob('*.jpg'))[:6]
    ours, theirs = (inferencer(photos, 'the man on the left') for inferencer in both)
    assert_same(ours, theirs)


def test_the_sentence_is_read_as_the_model_reads_it(tiny):
    ours, theirs = (m.data_preprocessor.tokenizer for m in (tiny.model, OnnxSegmentor(tiny.folder)))
    asked = [*SENTENCES, 'The RED ring!', 'grün 猫', 'zzz ' * 30]
    for before, after in zip(ours(asked), theirs(asked), strict=True):
        assert torch.equal(before, after)


def test_a_fingerprint_is_of_the_weights(tiny, copied):
    said = RISInferencer(tiny.folder).fingerprint()
    assert RISInferencer(copied).fingerprint() == said
    graph = onnx.load(copied / 'model.onnx')
    onnx.save_model(graph, copied / 'model.onnx', save_as_external_data=True, location='model.onnx.data')
    apart = RISInferencer(copied).fingerprint()
    with (copied / 'model.onnx.data').open('r+b') as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    assert len({said, apart, RISInferencer(copied).fingerprint()}) == 3


# The folder


def test_a_folder_that_was_moved_with_weights_beside_the_graph(tiny, copied, tmp_path):
    """As torch writes what is larger than 1.5 GB."""
    graph = onnx.load(copied / 'model.onnx')
    onnx.save_model(graph, copied / 'model.onnx', save_as_external_data=True, location='model.onnx.data')
    (tmp_path / 'else').mkdir()
    moved = copied.rename(tmp_path / 'else/with spaces and ü')
    given = batch(3, 6, (64, 64))
    assert torch.equal(OnnxSegmentor(moved)(*given), OnnxSegmentor(tiny.folder)(*given))


@slow('half a minute')
def test_the_model_stays_as_it_was(small_model, tmp_path, monkeypatch):
    """A compiled one in training, too, whose own graph is not run; and weights that torch writes beside the graph."""
    compiled = {'model.compile.backend': 'eager'}
    model = build_model(load_config('mgfe-ris_tiny_refshapes', {**small_model, **compiled})).train()
    monkeypatch.setattr('torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD', 1000)
    before = copy.deepcopy(model)
    with monkeypatch.context() as patch:
        patch.setattr('mgfe_ris.models.base._one_graph_per_size', lambda *_: pytest.fail('compiled'))
        patch.setattr('torch.onnx.export', partial(torch.onnx.export, optimize=False))  # half of the time
        export_onnx(model, tmp_path / 'out')
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in before.parameters()]
    for name, value in before.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
        assert value.stride() == model.state_dict()[name].stride(), name
    assert (tmp_path / 'out/model.onnx.data').stat().st_size > 10_000
    given = batch(2, 3, (64, 64))
    with torch.no_grad():
        expected = Segment(model)(*given)
    torch.testing.assert_close(OnnxSegmentor(tmp_path / 'out')(*given), expected, atol=1e-4, rtol=0)


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*')}


def test_the_files_of_a_folder(tiny):
    tokenizer = {path for path in everything_in(tiny.folder) if path.startswith('tokenizer/')}
    assert everything_in(tiny.folder) - tokenizer == {'model.onnx', 'config.json', 'README.md', 'tokenizer'}
    assert 'tokenizer/tokenizer.json' in tokenizer
    assert os.listdir(tiny.folder.parent) == ['tiny'], 'something was left beside it'
    for path in ('config.json', 'README.md'):
        assert '/tmp' not in (tiny.folder / path).read_text()


@pytest.fixture
def no_work(monkeypatch):
    monkeypatch.setattr('torch.export.export', lambda *_, **__: pytest.fail('work was begun'))


def test_what_is_there_stays(tiny, copied, no_work):
    before = everything_in(copied)
    with pytest.raises(FileExistsError, match='copied is not empty; name another folder'):
        export_onnx(tiny.model, copied)
    assert everything_in(copied) == before


@pytest.mark.parametrize('missing', ['onnx', 'onnxscript', 'onnxruntime'])
def test_a_package_that_is_missing(tiny, tmp_path, no_work, monkeypatch, missing):
    from importlib.util import find_spec

    monkeypatch.setattr('importlib.util.find_spec', lambda name: None if name == missing else find_spec(name))
    line = re.escape(f'missing: {missing}; pip install -r tools/deployment/requirements.txt')
    with pytest.raises(ImportError, match=f'^{line}$'):
        export_onnx(tiny.model, tmp_path / 'out')
    if missing == 'onnxruntime':
        with pytest.raises(ImportError, match=line):
            RISInferencer(tiny.folder)
    else:
        RISInferencer(tiny.folder)  # runs without the packages that write
    assert not everything_in(tmp_path)


class Written:
    """In the place of torch's exporter, which takes seconds: what it once wrote."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, *_, **__) -> 'Written':
        return self

    def save(self, path: str) -> None:
        shutil.copy(self.folder / 'model.onnx', path)


@pytest.fixture
def quick(tiny, monkeypatch):
    monkeypatch.setattr('mgfe_ris.apis.export.onnx.trace', lambda _: None)
    monkeypatch.setattr('torch.onnx.export', Written(tiny.folder))


def test_how_much_may_differ(tiny):
    """Of large logits the last bits are large, too."""
    graph = Segment(tiny.model)
    with torch.no_grad():
        graph.model.decode_head.classify.weight *= 1000
        largest = max(float(graph(*graph.example(b, w, seed=b)).abs().max()) for b, w in ((1, 2), (2, 5), (4, 20)))
        assert largest > 100

        def off_by(much: float) -> float:
            return graph.check(lambda *example: graph(*example) + much, 1e-4)

        assert off_by(0.9e-4 * largest) == pytest.approx(0.9e-4 * largest, rel=0.01)
        with pytest.raises(ValueError, match='differ from those of the model'):
            off_by(1.1e-4 * largest)


def test_logits_that_differ_are_refused(tiny, tmp_path, quick):
    assert export_onnx(tiny.model, tmp_path / 'same') == tiny.worst
    other = copy.deepcopy(tiny.model)
    with torch.no_grad():
        other.decode_head.classify.bias += 0.01
    for model, said in ((other, r'0\.01'), (copy.deepcopy(other), 'nan')):
        if said == 'nan':
            model.decode_head.classify.bias.data.fill_(float('nan'))
        message = f'differ from those of the model by {said}.*, more than .*; nothing was written'
        with pytest.raises(ValueError, match=message):
            export_onnx(model, tmp_path / 'out')
        assert os.listdir(tmp_path) == ['same']
    assert export_onnx(other, tmp_path / 'wide', tolerance=0.1) == pytest.approx(0.01, rel=0.1)


def test_a_part_that_onnx_does_not_know(tiny, tmp_path, monkeypatch):
    """Attention without heads, for one."""

    class Pixels(torch.nn.Module):
        size, max_tokens, says_no_target = (8, 8), 20, False

        def __init__(self, model):
            super().__init__()

        def example(self, *_):
            return torch.randn(3, 3, 8, 8), torch.ones(3, 7), torch.ones(3, 7)

        def forward(self, image, token_ids, word_mask):
            x = image.flatten(2)
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    monkeypatch.setattr('mgfe_ris.apis.export.onnx.Segment', Pixels)
    with pytest.raises(ValueError, match='cannot be written as ONNX: only 4D query, key, and value are supported'):
        export_onnx(tiny.model, tmp_path / 'out')
    assert not everything_in(tmp_path)


@pytest.mark.parametrize('fails', [KeyboardInterrupt, OSError])
@pytest.mark.parametrize('place', ['torch.onnx.export', 'mgfe_ris.apis.export.onnx.write_description'])
def test_nothing_is_left_of_what_failed(tiny, tmp_path, quick, monkeypatch, place, fails):
    def fail(*_, **__):
        raise fails

    monkeypatch.setattr(place, fail)
    with pytest.raises(fails):
        export_onnx(tiny.model, tmp_path / 'new/out')
    assert not everything_in(tmp_path)


# What is said


def test_what_an_exported_model_cannot(tiny, tmp_path, no_work, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    with pytest.raises(ValueError, match='tiny: an exported model brings its weights and runs on the cpu'):
        RISInferencer(tiny.folder, device='cuda')
    with pytest.raises(ValueError, match='tiny: an exported model brings its weights'):
        RISInferencer(tiny.folder, checkpoint='weights.pth')
    with pytest.raises(ValueError, match="an exported model computes in fp32; got precision 'bf16'"):
        RISInferencer(tiny.folder, precision='bf16')
    with pytest.raises(ValueError, match='expected a model with its weights, got a OnnxSegmentor'):
        export_onnx(OnnxSegmentor(tiny.folder), tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match=r'model\.safetensors'):
        load_model(tiny.folder)
    assert not everything_in(tmp_path)


def test_photos_of_another_size(tiny):
    exported = OnnxSegmentor(tiny.folder)
    with pytest.raises(ValueError, match='exported for photos of 64 x 64 pixels; got 64 x 96'):
        exported(*batch(1, 3, (64, 96)))
    with pytest.raises(ValueError, match="modes 'tensor' and 'predict'; got 'loss'"):
        exported(*batch(1, 3, (64, 64)), mode='loss')


def test_a_config_without_a_preprocessor_is_named(copied):
    (copied / 'config.json').write_text('{"model": {}}')
    with pytest.raises(ValueError, match=r'config\.json: no config of an exported model'):
        OnnxSegmentor(copied)


@pytest.mark.parametrize('how', ['truncated', 'a page', 'without its data', 'another graph', 'missing'])
def test_a_broken_folder_is_named(copied, how):
    path = copied / 'model.onnx'
    if how == 'truncated':
        path.write_bytes(path.read_bytes()[:-1000])
    elif how == 'a page':
        path.write_text('<html>404</html>')
    elif how == 'missing':
        path.unlink()
    elif how == 'without its data':
        onnx.save_model(onnx.load(path), path, save_as_external_data=True, location='model.onnx.data')
        (copied / 'model.onnx.data').unlink()
    else:
        graph = onnx.load(path)
        for node in graph.graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = 'photo' if name == 'image' else name
        graph.graph.input[0].name = 'photo'
        onnx.save(graph, path)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        OnnxSegmentor(copied)
    text = str(caught.value)
    assert str(path) in text and '\n' not in text and len(text) < 500
    if how == 'another graph':
        assert 'expected a graph of image, token_ids, word_mask, got one of photo, token_ids, word_mask' in text
