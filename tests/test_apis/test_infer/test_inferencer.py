"""Photos and sentences in, masks out."""

import gc
import itertools
import json
import math
import runpy
import shutil
import sys
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.transforms import Resize
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from PIL import Image
from torch import nn

from mgfe_ris.apis import RISInferencer, build_model, load_config, load_model, save_folder
from mgfe_ris.apis.infer import inferencer as module
from mgfe_ris.evaluation import RefSegMetric
from mgfe_ris.structures import MaskRule, SegDataSample

pytestmark = pytest.mark.usefixtures('one_thread')
REPO = Path(__file__).parents[3]
TINY = REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'
NOISE = np.random.default_rng(0).integers(0, 256, (23, 30, 3), dtype=np.uint8)
RGB = cv2.resize(NOISE, (120, 92), interpolation=cv2.INTER_CUBIC)
CLOSE = 1e-4
"""Of scores in other batches, whose sums float32 rounds otherwise; the last layer's weights here are large."""
SENTENCES = ['red ring on the left', 'blue star', 'the large green square behind the ring']


@torch.no_grad()
def with_masks(model):
    """Untrained, but with masks that are neither empty nor full, and that listen."""
    model.decode_head.classify.weight.normal_(std=5)
    sample = RISInferencer(model).prepare(RGB, 'red ring')
    logits = model(**model.data_preprocessor(sample))
    model.decode_head.classify.bias[1] += (logits[0, 0] - logits[0, 1]).median()
    return model


@pytest.fixture(scope='module')
def model(small_model):
    torch.manual_seed(0)
    return with_masks(load_model(TINY, options=small_model, device='cpu'))


@pytest.fixture(scope='module')
def swin(small_swin):
    """What the published configs build, with the pipeline that they have, smaller."""
    torch.manual_seed(0)
    options = {**small_swin, 'model.encoder.depths': (1, 1, 1, 1)}
    model = build_model(load_config('mgfe-ris_swin-base_refcoco', options, from_scratch=True))
    model.init_weights()
    return with_masks(model)


@pytest.fixture(scope='module')
def inferencer(model):
    return RISInferencer(model)


@pytest.fixture(scope='module')
def expected(inferencer):
    return inferencer(RGB, SENTENCES[0])


@pytest.fixture
def photo(tmp_path) -> Path:
    Image.fromarray(RGB).save(tmp_path / 'photo.png')
    return tmp_path / 'photo.png'


@pytest.fixture(scope='module')
def trained(model, tmp_path_factory) -> Path:
    """What training leaves in a folder."""
    folder = tmp_path_factory.mktemp('trained')
    model.cfg.dump(folder / TINY.name)
    torch.save(dict(state_dict=model.state_dict()), folder / 'best_oIoU_epoch_2.pth')
    return folder


def same(a, b) -> bool:
    return np.array_equal(a.score, b.score) and np.array_equal(a.mask, b.mask)


# What is a model


@pytest.mark.parametrize('form', ['folder', 'str', 'config and checkpoint', 'checkpoint', 'exported', 'model'])
def test_a_model_in_every_form(model, trained, tmp_path, expected, form):
    checkpoint = trained / 'best_oIoU_epoch_2.pth'
    arguments = {
        'folder': [trained],
        'str': [str(trained)],
        'config and checkpoint': [trained / TINY.name, checkpoint],
        'checkpoint': [checkpoint],
        'exported': [tmp_path / 'exported'],
        'model': [model],
    }
    if form == 'exported':
        save_folder(model, tmp_path / 'exported')
    loaded = RISInferencer(*arguments[form])
    assert same(loaded(RGB, SENTENCES[0]), expected)
    assert loaded.fingerprint() == RISInferencer(model).fingerprint()


@pytest.mark.parametrize('name', [TINY.stem, TINY])
def test_a_config_finds_what_was_trained_of_it(trained, tmp_path, monkeypatch, expected, name):
    shutil.copytree(trained, tmp_path / 'work_dirs' / TINY.stem)
    monkeypatch.chdir(tmp_path)
    assert same(RISInferencer(name, device='cpu')(RGB, SENTENCES[0]), expected)


def test_a_config_by_name_with_a_checkpoint(tmp_path):
    torch.manual_seed(0)
    model = load_model(TINY, device='cpu')
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    loaded = RISInferencer(TINY.stem, tmp_path / 'weights.pth', 'cpu')
    assert same(loaded(RGB, SENTENCES[0]), RISInferencer(model)(RGB, SENTENCES[0]))


def test_fingerprints_tell_weights_apart(model, small_model):
    torch.manual_seed(1)
    assert RISInferencer(load_model(TINY, options=small_model)).fingerprint() != RISInferencer(model).fingerprint()


def test_a_model_in_training_mode(model, expected):
    model.train()
    try:
        again = RISInferencer(model)
        assert not model.training and same(again(RGB, SENTENCES[0]), expected)
    finally:
        model.eval()


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(model='mgfe-ris_tiny_refshape'), FileNotFoundError, 'no such config.*Did you mean mgfe-ris_tiny_refshap'),
        (dict(model='nowhere/best.pth'), FileNotFoundError, r'nowhere/best\.pth: no such checkpoint'),
        (dict(model='.'), FileNotFoundError, 'name the one you mean|expected'),
        (dict(model=TINY.stem), ValueError, 'a config, of which nothing was trained in work_dirs.*name a checkpoint'),
        (dict(model='work_dirs/quickstart'), FileNotFoundError, 'quickstart.sh trains this model'),
        (dict(model=TINY, device='cuda'), ValueError, 'a config, of which nothing was trained|no CUDA'),
        (
            dict(device='mps', model='mgfe-ris_tiny_refshapes', checkpoint='x.pth'),
            ValueError,
            'device mps: expected cpu',
        ),
        (dict(model=None), ValueError, 'expected a folder, checkpoint, config or loaded model; got NoneType'),
        (dict(model=torch.nn.Linear(1, 1)), ValueError, 'config or loaded model; got Linear'),
        (dict(precision='fp16'), ValueError, "precision must be 'fp32', 'bf16' or 'auto'; got 'fp16'"),
        (dict(batch_size=0), ValueError, 'batch_size must be 1 or more; got 0'),
        (dict(batch_size=2.5), ValueError, r'batch_size must be 1 or more; got 2\.5'),
        (dict(batch_size='4'), ValueError, "batch_size must be 1 or more; got '4'"),
        (dict(device='cpu'), ValueError, 'give checkpoint and device to load_model'),
        (dict(checkpoint='best.pth'), ValueError, 'give checkpoint and device to load_model'),
    ],
)
def test_what_is_no_model(model, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        RISInferencer(**{'model': model, **arguments})


@pytest.mark.skipif(not torch.cuda.is_available(), reason='this machine, or this build of torch, has no CUDA')
@pytest.mark.parametrize(('precision', 'close'), [('fp32', 1e-3), ('bf16', 0.1)])
def test_on_cuda(trained, expected, precision, close):
    result = RISInferencer(trained, device='cuda', precision=precision)(RGB, SENTENCES[0])
    assert np.abs(result.score - expected.score).mean() < close


def test_cuda_where_there_is_none(trained, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='device cuda: this machine or this build of torch has no CUDA; use cpu'):
        RISInferencer(trained, device='cuda')


def test_a_config_without_a_test(model, trained, tmp_path):
    cfg = model.cfg.copy()
    for key in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        cfg.pop(key)
    cfg.dump(tmp_path / 'train_only.py')
    with pytest.raises(ValueError, match=r'train_only\.py: no test_dataloader, whose pipeline prepares photos'):
        RISInferencer(tmp_path / 'train_only.py', trained / 'best_oIoU_epoch_2.pth')


def test_another_default_scope(inferencer, model, expected):
    """Of somebody who uses another library of OpenMMLab in the same process."""
    init_default_scope('mmdet')
    try:
        assert same(RISInferencer(model)(RGB, SENTENCES[0]), expected)
    finally:
        init_default_scope('mmseg')


# What is a photo


@pytest.mark.parametrize('form', ['path', 'str', 'PIL', 'BGR', 'tensor', 'float tensor', 'read-only'])
def test_a_photo_in_every_form(inferencer, expected, photo, form):
    chw = torch.from_numpy(RGB).permute(2, 0, 1)
    photos = {'path': photo, 'str': str(photo), 'PIL': Image.fromarray(RGB), 'BGR': RGB[..., ::-1], 'tensor': chw}
    photos |= {'float tensor': chw / 255, 'read-only': np.asarray(Image.fromarray(RGB))}
    result = inferencer(photos[form], SENTENCES[0], bgr=form == 'BGR')
    assert same(result, expected)
    if form in ('path', 'str'):
        assert result.photo == photo
    else:
        np.testing.assert_array_equal(result.photo, RGB)


def test_a_photo_at_an_address(inferencer, expected, photo, monkeypatch):
    """Downloading itself: test_photos.py."""
    monkeypatch.setattr('mgfe_ris.apis.infer.photos._download', lambda *_: photo.read_bytes())
    assert same(inferencer('https://example.org/photo.png', SENTENCES[0]), expected)


def test_a_turned_photo(inferencer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / 'turned.jpg', exif=exif)
    from_file = inferencer(tmp_path / 'turned.jpg', SENTENCES[0])
    assert from_file.mask.shape == (120, 92)
    with Image.open(tmp_path / 'turned.jpg') as image:
        assert same(inferencer(image, SENTENCES[0]), from_file)


def test_the_photo_is_left_alone(inferencer):
    photo = RGB.copy()
    result = inferencer(photo, SENTENCES[0])
    np.testing.assert_array_equal(photo, RGB)
    photo[:] = 0  # and it can still be written to
    assert result.mask.shape == RGB.shape[:2]


def test_a_file_that_changed_is_read_again(inferencer, photo):
    first = inferencer(photo, SENTENCES[0])
    Image.fromarray(RGB[::-1]).save(photo)
    assert not same(inferencer(photo, SENTENCES[0]), first)


# What comes out


def test_a_result_is_of_the_photos_size(expected):
    height, width = RGB.shape[:2]
    assert expected.mask.shape == expected.score.shape == (height, width)
    assert expected.mask.dtype == np.bool_ and expected.score.dtype == np.float32
    assert expected.score.min() >= 0 and expected.score.max() <= 1
    assert 0.02 < expected.mask.mean() < 0.98, 'a mask that tells nothing'
    assert expected.sentence == SENTENCES[0]
    assert expected.score.base.untyped_storage().nbytes() == expected.score.nbytes, 'no more is kept'


def test_the_sentence_matters(inferencer, expected):
    assert (inferencer(RGB, SENTENCES[1]).mask != expected.mask).any()


def test_the_score_is_the_probability_of_the_logits(model, inferencer, expected):
    with torch.inference_mode():
        logits = model(**model.data_preprocessor(inferencer.prepare(RGB, SENTENCES[0])))
    resized = F.interpolate(logits.double(), RGB.shape[:2], mode='bilinear', align_corners=False)[0]
    np.testing.assert_allclose(expected.score, resized.softmax(0)[1], atol=CLOSE)
    assert (expected.mask != (resized[1] > resized[0]).numpy()).mean() < 1e-3


@pytest.mark.parametrize('threshold', [0.01, 0.3, 0.5, np.float32(0.7), 0.99])
def test_thresholds(inferencer, expected, threshold):
    result = inferencer(RGB, SENTENCES[0], threshold=threshold)
    np.testing.assert_array_equal(result.score, expected.score)
    clear = np.abs(result.score - float(threshold)) > 1e-6
    np.testing.assert_array_equal(result.mask[clear], result.score[clear] > threshold)


class Answer(nn.Module):
    """A model that gives these logits."""

    mask_rule = MaskRule()

    def __init__(self, logits: torch.Tensor, cfg):
        super().__init__()
        self.weight, self.logits, self.cfg = nn.Parameter(torch.zeros(1)), logits, cfg
        self.data_preprocessor = SimpleNamespace(
            tokenizer=SimpleNamespace(knows=lambda sentence: True, unmet=lambda sentence: None)
        )

    def test_step(self, data: dict) -> list[SegDataSample]:
        for sample in data['data_samples']:
            sample.seg_logits = PixelData(data=self.logits)
        return data['data_samples']


def test_the_mask_is_what_the_metric_scores(model):
    """Of logits that are equal, a hair apart, huge, and minute."""
    values = torch.tensor([0, 1, -1, 1e30, -1e30, 1e-38, 1e-45, 1 + 2**-23, 1 - 2**-24, 3e38, 17.25])
    first, second = torch.meshgrid(values, values, indexing='ij')
    logits = torch.stack([first, second])
    result = RISInferencer(Answer(logits, model.cfg))(np.zeros((*first.shape, 3), np.uint8), 'x')
    truth = PixelData(data=torch.zeros(1, *first.shape))
    sample = {'pred_sem_seg': {'data': torch.zeros(1, 1, 1)}, 'gt_sem_seg': truth, 'seg_logits': {'data': logits}}
    scored, _ = RefSegMetric()._masks({**sample, 'gt_sem_seg': {'data': truth.data}})
    np.testing.assert_array_equal(result.mask, scored[0].numpy() == 1)
    np.testing.assert_array_equal(result.mask, (second > first).numpy())
    assert result.mask.any() and not result.mask.diagonal().any(), 'ties are background'


def test_bf16_is_close(model, expected):
    result = RISInferencer(model, precision='bf16')(RGB, SENTENCES[0])
    assert result.score.dtype == np.float32 and not np.array_equal(result.score, expected.score)
    assert np.abs(result.score - expected.score).mean() < 0.02
    assert (result.mask != expected.mask).mean() < 0.03


@pytest.mark.parametrize('pays', ['bf16', 'fp32'])
def test_auto_takes_what_pays(model, monkeypatch, pays):
    monkeypatch.setattr(module, 'choose_precision', lambda device: pays)
    auto, same = RISInferencer(model, precision='auto'), RISInferencer(model, precision=pays)
    assert auto.precision == pays
    np.testing.assert_array_equal(auto(RGB, SENTENCES[0]).score, same(RGB, SENTENCES[0]).score)


# Lists and batches


def test_lists(inferencer, photo):
    one, two, three = SENTENCES
    other = RGB[:80, ::-1]
    single = {(i, s): inferencer(p, s) for i, p in enumerate((RGB, other)) for s in SENTENCES}

    def close(result, i, sentence):
        assert result.sentence == sentence
        np.testing.assert_allclose(result.score, single[i, sentence].score, atol=CLOSE)

    for several in ([one, two, three], (one, two, three)):
        results = inferencer(RGB, several)
        assert len(results) == 3
        for result, sentence in zip(results, several, strict=True):
            close(result, 0, sentence)
    (alone,) = inferencer(RGB, [two])
    close(alone, 0, two)
    for result, i in zip(inferencer([RGB, other], one), (0, 1), strict=True):
        close(result, i, one)
    for result, (i, s) in zip(inferencer([RGB, other], [one, two]), ((0, one), (1, two)), strict=True):
        close(result, i, s)
    mixed = inferencer([photo, other, RGB], [[one, two], three, [one]])
    close(mixed[0][0], 0, one), close(mixed[0][1], 0, two), close(mixed[1], 1, three), close(mixed[2][0], 0, one)
    assert [len(mixed[0]), len(mixed[2])] == [2, 1] and inferencer([], one) == []


@pytest.mark.parametrize('batch_size', [1, 2, 3, 16])
def test_batches_of_any_size(model, batch_size):
    photos = [RGB[i:] for i in range(5)]
    sentences = (SENTENCES * 2)[:5]
    alone = RISInferencer(model, batch_size=1)
    seen = []
    hook = model.decode_head.register_forward_hook(lambda _, inputs, out: seen.append(len(out)))
    try:
        by_photo = RISInferencer(model, batch_size=batch_size)(photos, sentences)
        by_sentence = RISInferencer(model, batch_size=batch_size)(RGB, sentences)
    finally:
        hook.remove()
    full, rest = divmod(5, batch_size)
    assert seen == 2 * ([batch_size] * full + [rest] * bool(rest)), 'batches are full'
    for photo, sentence, result in zip(photos, sentences, by_photo, strict=True):
        np.testing.assert_allclose(result.score, alone(photo, sentence).score, atol=CLOSE)
    for sentence, result in zip(sentences, by_sentence, strict=True):
        np.testing.assert_allclose(result.score, alone(RGB, sentence).score, atol=CLOSE)


def test_sentences_share_what_does_not_depend_on_them(swin, photo, monkeypatch):
    counts = {'decoded': 0, 'resized': 0}

    def counted(name, function):
        def call(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(cv2, 'imdecode', counted('decoded', cv2.imdecode))
    monkeypatch.setattr(Resize, 'transform', counted('resized', Resize.transform))
    embedded, ahead_of_words, words = [], [], []
    hooks = [
        swin.encoder.patch_embed.register_forward_hook(lambda _, inputs, out: embedded.append(len(inputs[0]))),
        swin.encoder.stages[0].blocks[0].register_forward_hook(lambda _, i, out: ahead_of_words.append(len(out))),
        swin.text_encoder.register_forward_hook(lambda _, inputs, out: words.append(len(out))),
    ]
    try:
        results = RISInferencer(swin)(photo, SENTENCES)
        assert embedded == ahead_of_words == [1] and words == [3] and counts == {'decoded': 1, 'resized': 1}
        in_memory = RISInferencer(swin)(RGB, SENTENCES)
        assert embedded == [1, 1] and counts == {'decoded': 1, 'resized': 2}
    finally:
        for hook in hooks:
            hook.remove()
    assert all(map(same, results, in_memory))
    assert len({result.score.tobytes() for result in results}) == 3


def test_many_sentences_keep_one_photo(swin, inferencer):
    prepared = RISInferencer(swin).prepare(RGB, [f'ring {i}' for i in range(50)])
    assert len({photo.data_ptr() for photo in prepared['inputs']}) == 1
    assert [sample.sentence for sample in prepared['data_samples']] == [f'ring {i}' for i in range(50)]


# As tools/test.py has it


@pytest.fixture
def tested(monkeypatch, tmp_path, request):
    """Run tools/test.py here -> its lines, and the logits of each."""

    def run(model, **loader):
        logits, process = {}, RefSegMetric.process

        def keep(self, batch, samples):
            for sample in samples:
                logits[sample['img_path'], sample['sent_id']] = sample['seg_logits']['data'].clone()
            process(self, batch, samples)

        monkeypatch.setattr(RefSegMetric, 'process', keep)
        cfg = model.cfg.copy()
        cfg.test_dataloader.dataset.update(loader.pop('dataset'))
        cfg.test_dataloader.update(num_workers=0, persistent_workers=False, **loader)
        cfg.test_cfg = dict(type='SplitsTestLoop', splits=('val',))
        cfg.dump(tmp_path / 'config.py')
        torch.save(model.state_dict(), tmp_path / 'weights.pth')
        paths = [tmp_path / 'config.py', tmp_path / 'weights.pth', '--work-dir', tmp_path / 'work', '--out', tmp_path]
        name = f'experiment_name={request.node.name}'  # mmengine shares what has the same name and second
        monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, paths), '--cfg-options', name])
        runpy.run_path(str(REPO / 'tools/test.py'), run_name='__main__')
        return [json.loads(line) for line in (tmp_path / 'val.jsonl').read_text().splitlines()], logits

    return run


def compare(inferencer, records: list[dict], logits: dict, score_at: str) -> None:
    for path, photo in itertools.groupby(records, key=lambda record: record['img_path']):
        group = list(photo)
        results = inferencer(path, [record['sentence'] for record in group])
        for record, result in zip(group, results, strict=True):
            expected = score_of(logits[path, record['sent_id']], result.mask.shape)
            np.testing.assert_array_equal(result.score, expected, strict=True)
            if score_at == 'photo':
                assert record['pred'] == result.rle
            else:
                assert record['pred']['size'] == [480, 480] != list(result.mask.shape)


def score_of(logits: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    resized = F.interpolate(logits[None], size, mode='bilinear', align_corners=False)[0]
    return (resized[1] - resized[0]).sigmoid().numpy()


def test_equal_to_the_test_bit_for_bit(model, refshapes, tested):
    """In the same batches: all sentences about a photo at once. Photos of the input's size."""
    batches = dict(batch_size=16, batch_sampler=dict(type='PhotoBatchSampler'))
    records, logits = tested(model, dataset=dict(data_root=str(refshapes)), **batches)
    assert len(records) > 20 and any(0 < record['iou'] < 1 for record in records)
    compare(RISInferencer(model), records, logits, 'photo')


@pytest.mark.parametrize('score_at', ['photo', 'input'])
def test_equal_to_the_test_of_the_published_protocols(swin, coco_ref, tmp_path, tested, score_at):
    photos = sorted((coco_ref / 'images').iterdir())[:2]
    rows = [
        dict(image=path.name, sentences=sentences, mask=[[5, 5, 100, 5, 100, 90]])
        for path, sentences in zip(photos, (SENTENCES, SENTENCES[:1]), strict=True)
    ]
    (tmp_path / 'val.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    data = dict(data_root=str(tmp_path), ann_file='val.jsonl', ann_folder=None, split_by=None)
    records, logits = tested(swin, dataset=dict(data, img_folder=str(coco_ref / 'images'), score_at=score_at))
    assert len(records) == 4
    compare(RISInferencer(swin), records, logits, score_at)


def test_close_to_a_test_in_other_batches(model, refshapes, tested):
    records, logits = tested(model, dataset=dict(data_root=str(refshapes)))
    results = RISInferencer(model)([r['img_path'] for r in records], [r['sentence'] for r in records])
    for record, result in zip(records, results, strict=True):
        expected = score_of(logits[record['img_path'], record['sent_id']], (64, 64))
        np.testing.assert_allclose(result.score, expected, atol=CLOSE)


# Streams


def broken(tmp_path: Path) -> Path:
    (tmp_path / 'half.png').write_bytes((tmp_path / 'photo.png').read_bytes()[:3000])
    return tmp_path / 'half.png'


def test_a_stream_keeps_the_order_and_goes_on(inferencer, photo, tmp_path):
    jobs = [
        (photo, SENTENCES[0]),
        ('gone.png', SENTENCES),
        (RGB, SENTENCES[:2]),
        (photo, ''),
        (broken(tmp_path), SENTENCES[0]),
        (None, SENTENCES[0]),
        (RGB, SENTENCES[1]),
        (photo, []),
        (photo, SENTENCES[2]),
    ]
    found = list(inferencer.stream(jobs))
    assert [type(f).__name__ for f in found] == [
        'list', 'FileNotFoundError', 'list', 'ValueError', 'ValueError', 'ValueError', 'list', 'ValueError', 'list'
    ]  # fmt: skip
    assert [[r.sentence for r in f] for f in found if isinstance(f, list)] == [
        SENTENCES[:1], SENTENCES[:2], SENTENCES[1:2], SENTENCES[2:]
    ]  # fmt: skip
    texts = [str(f) for f in found if isinstance(f, Exception)]
    assert 'gone.png: no such photo' in texts and 'the sentence is empty: say which object is meant' in texts
    assert any('half.png: not a readable image' in text for text in texts)
    assert any('got NoneType' in text for text in texts) and 'no sentence: say which object is meant' in texts


@pytest.mark.parametrize('batch_size', [1, 4])
def test_a_stream_looks_a_few_photos_ahead(model, monkeypatch, batch_size):
    """However many there are: their number, not their size, is what is kept small."""
    inferencer = RISInferencer(model, batch_size=batch_size)
    living, most, asked = set(), 0, 0
    prepare, numbers = inferencer._prepare, itertools.count()

    def counted(*args, **kwargs):
        prepared, number = prepare(*args, **kwargs), next(numbers)
        living.add(number)
        weakref.finalize(prepared, living.discard, number)
        return prepared

    def endless():
        nonlocal asked
        while True:
            asked += 1
            assert asked < 100, 'reads on and on'
            yield RGB, SENTENCES[0]

    monkeypatch.setattr(inferencer, '_prepare', counted)
    stream = inferencer.stream(endless())
    for done in range(1, 41):
        assert len(next(stream)) == 1
        most = max(most, len(living))
        assert asked <= done + 2 * batch_size + 6
    stream.close()
    gc.collect()
    assert batch_size <= most <= 2 * batch_size + 6 and not living


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.parametrize('how', ['close', 'forget', 'error in a photo of a call', 'error in the jobs', 'exhaust'])
def test_no_thread_stays(inferencer, how):
    before = threads()
    endless = itertools.repeat((RGB, SENTENCES[0]))
    if how == 'error in a photo of a call':
        with pytest.raises(FileNotFoundError) as error:
            inferencer([RGB, 'gone.png', RGB, RGB, RGB, RGB, RGB], SENTENCES[0])
        assert threads() == before, 'while the error, and all that it holds, is alive'
        assert 'gone.png' in str(error.value)
    elif how == 'error in the jobs':
        jobs = itertools.chain([(RGB, SENTENCES[0])] * 9, (1 / 0 for _ in range(1)))
        with pytest.raises(ZeroDivisionError):
            list(inferencer.stream(jobs))
    elif how == 'exhaust':
        assert len(list(inferencer.stream(itertools.islice(endless, 7)))) == 7
    else:
        stream = inferencer.stream(endless)
        next(stream)
        assert threads() > before
        if how == 'close':
            stream.close()
        else:
            del stream
        gc.collect()
    assert threads() == before


@pytest.mark.parametrize('error', [RuntimeError, KeyError, MemoryError])
def test_a_fault_of_the_program_is_not_taken_for_a_broken_photo(inferencer, monkeypatch, error):
    calls = itertools.count(1)

    def fail_late(photo, *_):
        if next(calls) == 4:
            raise error('a fault')
        return RGB

    monkeypatch.setattr(module, 'open_photo', fail_late)
    before = threads()
    with pytest.raises(error, match='a fault'):
        list(inferencer.stream([(RGB, SENTENCES[0])] * 20))
    assert threads() == before and next(calls) < 15


@pytest.mark.parametrize('job', ['a.jpg', ('a.jpg',), RGB])
def test_what_is_no_job(inferencer, job):
    with pytest.raises(ValueError, match=r'a job is a photo and its sentences, \(photo, sentences\); got'):
        list(inferencer.stream([job]))


def test_a_stream_gives_what_single_calls_give(inferencer, tmp_path):
    """Files that are read by two threads at once."""
    photos = []
    for i in range(12):
        photos.append(tmp_path / f'{i}.png')
        Image.fromarray(np.roll(RGB, 7 * i, axis=1)[: 92 - i]).save(photos[-1])
    found = list(inferencer.stream((path, SENTENCES[i % 3]) for i, path in enumerate(photos)))
    for i, (path, (result,)) in enumerate(zip(photos, found, strict=True)):
        assert result.photo == path and result.mask.shape == (92 - i, 120)
        np.testing.assert_allclose(result.score, inferencer(path, SENTENCES[i % 3]).score, atol=CLOSE)


# Bad input


@pytest.mark.parametrize(
    ('sentences', 'message'),
    [
        ('', 'the sentence is empty: say which object is meant'),
        (' \t\n', 'the sentence is empty'),
        ('\u200b\u2060', 'the sentence is empty'),
        ('\u0007', 'the sentence is empty'),
        (['red ring', ' '], 'the sentence is empty'),
        ([], 'no sentence: say which object is meant'),
        ('ring ' * 10_000, "a sentence of 10000 words; say it in at most 200: 'ring ring"),
        ('環' * 10_000, 'a sentence of 10000 letters; say it in at most 2000: '),
        ('half of a pair: \ud83d', 'a sentence with a letter that is none'),
        (None, 'a sentence must be text; got NoneType'),
        (7, 'a sentence must be text; got int'),
        (b'red ring', 'a sentence must be text; got bytes'),
        (['red ring', None], 'a sentence must be text; got NoneType'),
        (np.array(['red ring']), 'a sentence must be text; got ndarray'),
    ],
)
def test_what_is_no_sentence(inferencer, monkeypatch, sentences, message):
    monkeypatch.setattr(module, 'open_photo', lambda *_: pytest.fail('work before the check'))
    with pytest.raises(ValueError, match=message):
        inferencer(RGB, sentences)
    for result in inferencer.stream([(RGB, sentences)]):
        assert isinstance(result, ValueError) and len(str(result)) < 200


def test_the_longest_sentence(inferencer):
    assert inferencer(RGB, ' '.join(['ring'] * 200)).mask.shape == RGB.shape[:2]


@pytest.mark.parametrize(
    ('sentence', 'understood'), [('a\x00b', True), ('🦊', False), ('左の丸', False), ('?' * 50, False)]
)
def test_odd_sentences_pass_and_are_marked(inferencer, sentence, understood):
    result, other = inferencer(RGB, [sentence, 'red ring'])
    assert (result.sentence, result.understood) == (sentence, understood) and other.understood
    assert ('understood=False' in repr(result)) != understood


@pytest.mark.parametrize('sentence', ['\u0301', '\ufe0f'])
def test_a_sentence_of_what_the_tokenizer_leaves_out(inferencer, sentence):
    with pytest.raises(ValueError, match='has no character that the tokenizer keeps; say it in words'):
        inferencer(RGB, ['red ring', sentence])


@pytest.mark.parametrize(
    ('photos', 'sentences', 'message'),
    [
        ([RGB, RGB], ['red ring'], '2 photos and 1 entries of sentences: expected one for each photo'),
        ([RGB], ['red ring', 'blue star'], '1 photos and 2 entries'),
        ([RGB], [], '1 photos and 0 entries'),
        ([], ['red ring'], '0 photos and 1 entries'),
        ([RGB, RGB], ['red ring', []], 'no sentence'),
        ([RGB, RGB], ['red ring', ''], 'the sentence is empty'),
        ([RGB, RGB], None, 'a sentence must be text; got NoneType'),
        ([RGB, [RGB]], 'red ring', 'got list'),
        ((photo for photo in [RGB]), 'red ring', 'got generator'),
    ],
)
def test_lists_that_do_not_go_together(inferencer, photos, sentences, message):
    with pytest.raises(ValueError, match=message):
        inferencer(photos, sentences)


@pytest.mark.parametrize('threshold', [0, 1, -0.5, 1.5, math.nan, '0.5'])
def test_thresholds_that_are_none(inferencer, threshold):
    with pytest.raises(ValueError, match='threshold must be a number between 0 and 1; got'):
        inferencer.stream([], threshold)  # at once, not with the first photo
    with pytest.raises(ValueError, match='threshold must be'):
        inferencer(RGB, 'red ring', threshold)


@pytest.mark.parametrize('name', ['gone.jpg', '.', 'text.jpg', 'half.png'])
def test_what_is_no_photo(inferencer, photo, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path('text.jpg').write_text('no image')
    broken(tmp_path)
    error = FileNotFoundError if name in ('gone.jpg', '.') else ValueError
    with pytest.raises(error, match=f'{name}: (no such photo|not a readable image)'):
        inferencer([photo, name], 'red ring')


def test_photos_that_are_too_large(model, photo):
    with pytest.raises(ValueError, match=r'photo\.png has 120 x 92 pixels, more than 11,000; make it smaller first'):
        RISInferencer(model, max_pixels=11_000)(photo, 'red ring')
    assert RISInferencer(model, max_pixels=120 * 92)(photo, 'red ring').area
