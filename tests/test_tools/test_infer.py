"""Masks for one's own photos as a user asks for them on the command line."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from PIL import Image
from slow import slow

from mgfe_ris.apis import RISInferencer, load_model
from mgfe_ris.apis.model import default_model
from mgfe_ris.training_words import write_words

REPO = Path(__file__).parents[2]
INFER = REPO / 'tools/infer.py'


@pytest.fixture
def infer(monkeypatch, one_thread, capfd):
    """Runs the tool in this process -> status, what it printed, and what to stderr."""

    def run_tool(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, 'argv', ['infer.py', *map(str, args)])
        capfd.readouterr()
        status = 0
        try:
            runpy.run_path(str(INFER), run_name='__main__')
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
            if not isinstance(stop.code, int):
                print(stop.code, file=sys.stderr)  # as the interpreter does
        return status, *capfd.readouterr()

    return run_tool


@pytest.fixture
def photos(refshapes, tmp_path, monkeypatch) -> Path:
    """``photos/`` in the current folder, with ten photos, two of them in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'photos'
    (folder / 'more').mkdir(parents=True)
    drawn = sorted((refshapes / 'images/refshapes').iterdir())
    for i in range(10):
        shutil.copy(drawn[i], folder / ('more' if i > 7 else '.') / f'{i}.jpg')
    return folder


@pytest.fixture
def server(photos) -> Iterator[str]:
    """The address of the photos on a server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Nothing, where it would write to stderr."""

    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=photos)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def lines_of(folder: str) -> list[dict]:
    return [json.loads(line) for line in Path(folder, 'results.jsonl').read_text(encoding='utf-8').splitlines()]


def contents(folder: str | Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob('*') if path.is_file()}


def check_pictures(folder: str) -> None:
    """That there is a mask and an overlay for each line, and that all three agree."""
    lines = lines_of(folder)
    for line in lines:
        mask = np.asarray(Image.open(f'{folder}/masks/{line["name"]}.png'))
        np.testing.assert_array_equal(mask, 255 * coco_mask.decode(line['rle']))
        assert (mask > 0).sum() == line['area'] and 0 <= line['confidence'] <= 1
        overlay = np.asarray(Image.open(f'{folder}/overlays/{line["name"]}.png'))
        assert overlay.shape[1] == mask.shape[1] and overlay.shape[0] > mask.shape[0], 'with the sentence below'
    for kind in ('masks', 'overlays'):
        assert len([path for path in Path(folder, kind).rglob('*') if path.is_file()]) == len(lines)


# What it does


def test_a_photo_and_two_sentences(model_folder, photos, infer):
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((120, 90)).save('my.photo.jpg')
    status, out, err = infer('my.photo.jpg', '--text', 'red ring', 'a 狗', '--model', model_folder)
    assert status == 0 and out.splitlines()[-1] == 'wrote results: masks/, overlays/ and results.jsonl of 1 photos'
    assert '1/1' in err and 'photo/s' in err and 'broken' not in err
    expected = RISInferencer(model_folder)('my.photo.jpg', ['red ring', 'a 狗'])
    for line, result, name in zip(lines_of('results'), expected, ['my.photo', 'my.photo-2'], strict=True):
        mask = np.asarray(Image.open(f'results/masks/{name}.png'))
        assert mask.shape == (90, 120) and 0.02 < (mask > 0).mean() < 0.98
        np.testing.assert_array_equal(mask, 255 * result.mask)
        np.testing.assert_array_equal(np.asarray(Image.open(f'results/overlays/{name}.png')), result.overlay())
        told = {'box': list(result.box), 'confidence': round(result.confidence, 4), 'rle': result.rle}
        assert line == {**line, 'name': name, 'photo': os.path.abspath('my.photo.jpg'), **told}
    assert [line['sentence'] for line in lines_of('results')] == ['red ring', 'a 狗']
    settings = json.loads(Path('results/settings.json').read_text())
    assert settings['precision'] == 'fp32' and settings['threshold'] == 0.5
    assert sorted(path.name for path in Path('results').iterdir()) == [
        'masks',
        'overlays',
        'results.jsonl',
        'settings.json',
    ]


def test_sentences_that_the_model_does_not_know(model_folder, photos, infer):
    status, _, err = infer('photos/3.jpg', '--text', 'red ring', '左の丸', '😀', '--model', model_folder)
    assert status == 0 and "warning: 2 of 3 sentences have no word that the model knows, the first is '左の丸'" in err
    assert [line['understood'] for line in lines_of('results')] == [True, False, False]
    status, _, err = infer('photos/3.jpg', '--text', 'red ring', '\u0301', '--model', model_folder, '--out', 'other')
    assert status == 2 and 'has no character that the tokenizer keeps' in err and not Path('other').exists()


def test_words_that_the_training_never_said(model_folder, photos, infer):
    """Only of a model that learned its words there; a sentence that is not understood at all is warned of as such."""
    asked = ('photos/3.jpg', '--text', 'red ring', 'the red giraffe', 'a zoo', '左の丸')
    assert 'never said' not in infer(*asked, '--model', model_folder, '--out', 'silent')[2]
    assert not any('unmet' in line for line in lines_of('silent'))
    shutil.copytree(model_folder, 'mine')
    write_words(['the', 'a', 'red', 'ring'], 'mine')
    status, _, err = infer(*asked, '--model', 'mine')
    assert status == 0 and '2 of 4 sentences have words that the training of this model never said' in err
    assert "the first is 'the red giraffe'" in err
    assert [line['unmet'] for line in lines_of('results')] == [[], ['giraffe'], ['zoo'], ['左の丸']]


def test_the_default_is_the_model_that_saw_photos(model_folder, photos, infer):
    """Once it has saved weights; each goes by the name of its folder, too."""
    assert str(default_model()) == 'work_dirs/quickstart'
    Path('work_dirs/quickstart-photos').mkdir(parents=True)
    assert str(default_model()) == 'work_dirs/quickstart'
    torch.save(dict(state_dict={}), 'work_dirs/quickstart-photos/best_oIoU_epoch_1.pth')
    assert str(default_model()) == 'work_dirs/quickstart-photos'
    status, _, err = infer('photos/3.jpg', '--text', 'red ring')
    assert status == 2 and 'work_dirs/quickstart-photos: expected one file *.py' in err
    shutil.copytree(model_folder, 'work_dirs/quickstart')
    assert infer('photos/3.jpg', '--text', 'red ring', '--model', 'quickstart')[0] == 0


def test_a_trained_folder_by_its_name(model_folder, photos, infer):
    """As training leaves it: the config, and the best checkpoint."""
    folder = Path('work_dirs/quickstart-photos')
    folder.mkdir(parents=True)
    model = load_model(model_folder, device='cpu')
    model.cfg.dump(folder / 'trained.py')
    torch.save(dict(state_dict=model.state_dict()), folder / 'best_oIoU_epoch_1.pth')
    asked = ('photos/3.jpg', '--text', 'red ring')
    assert infer(*asked, '--model', model_folder, '--out', 'as-folder')[0] == 0
    for name in ('quickstart-photos', None):
        words = [] if name is None else ['--model', name]
        assert infer(*asked, *words, '--out', f'out-{name}')[0] == 0
        assert lines_of(f'out-{name}')[0]['rle'] == lines_of('as-folder')[0]['rle']


def test_several_photos_and_a_folder(model_folder, photos, infer):
    status, out, _ = infer('photos/3.jpg', 'photos/more', '--text', 'red ring', '--model', model_folder)
    assert status == 0 and 'results.jsonl of 3 photos' in out
    assert [line['name'] for line in lines_of('results')] == ['3', '8', '9']


def test_an_address(model_folder, photos, server, infer):
    status, *_ = infer(
        f'{server}/3.jpg?size=large', '--private-addresses', '--text', 'red ring', '--model', model_folder, '--out', 'a'
    )
    assert status == 0
    assert infer('photos/3.jpg', '--text', 'red ring', '--model', model_folder, '--out', 'b')[0] == 0
    (line,), (expected,) = lines_of('a'), lines_of('b')
    assert line == {**expected, 'photo': f'{server}/3.jpg?size=large'}
    for name in ('masks/3.png', 'overlays/3.png'):
        np.testing.assert_array_equal(Image.open(f'a/{name}'), Image.open(f'b/{name}'))


def test_a_folder_with_the_results_in_it(model_folder, photos, infer):
    """Pictures of the run before are no photos of the next."""
    for text in ('red ring', 'blue square'):
        asked = ['photos', '--text', text, '--model', model_folder, '--out', 'photos/found', '--batch-size', 4]
        status, out, err = infer(*asked)
        assert status == 0 and 'results.jsonl of 10 photos' in out and '10/10' in err
    check_pictures('photos/found')
    names = [*map(str, range(8)), 'more/8', 'more/9']
    assert [line['name'] for line in lines_of('photos/found')] == [*names, *(f'{name}-2' for name in names)]


def test_lists_with_a_photo_by_file_and_by_address(model_folder, photos, server, infer):
    rows = [('photos/1.jpg', 'left, red'), (photos / '2.jpg', 'das größte'), (f'{server}/more/8.jpg', 'ring')]
    Path('list.csv').write_text('\ufeffphoto,text\r\n' + ''.join(f'{photo},"{text}"\r\n' for photo, text in rows))
    Path('list.jsonl').write_text(''.join(json.dumps({'photo': str(p), 'text': t, 'id': 3}) + '\n' for p, t in rows))
    for name in ('csv', 'jsonl'):
        status, *_ = infer(f'list.{name}', '--private-addresses', '--model', model_folder, '--out', name)
        assert status == 0
        check_pictures(name)
    assert [(line['photo'], line['sentence']) for line in lines_of('csv')] == [
        (str(photos / '1.jpg'), 'left, red'),
        (str(photos / '2.jpg'), 'das größte'),
        (f'{server}/more/8.jpg', 'ring'),
    ]
    assert contents('csv') == contents('jsonl')


def test_half_precision_and_another_threshold(model_folder, photos, infer):
    asked = ['photos/1.jpg', '--text', 'ring', '--model', model_folder]
    for out, *options in (['a'], ['b', '--threshold', 0.45], ['c', '--precision', 'bf16']):
        assert infer(*asked, '--out', out, *options)[0] == 0
    areas = {out: lines_of(out)[0]['area'] for out in 'abc'}
    assert areas['b'] > areas['a'] and areas['c'] != areas['a']


@pytest.mark.parametrize(('pays', 'later'), [('bf16', 'fp32'), ('fp32', 'bf16')])
def test_auto_takes_what_pays_and_goes_on_with_it(model_folder, photos, infer, monkeypatch, pays, later):
    asked = ['--text', 'ring', '--model', model_folder, '--device', 'cpu', '--precision', 'auto', '--out', 'out']
    monkeypatch.setattr('mgfe_ris.apis.infer.inferencer.choose_precision', lambda device: pays)
    status, said, _ = infer('photos/1.jpg', *asked)
    assert status == 0 and f'precision auto: {pays}\n' in said
    monkeypatch.setattr('mgfe_ris.apis.infer.inferencer.choose_precision', lambda device: later)
    status, said, _ = infer('photos/2.jpg', *asked)
    assert status == 0 and f'precision auto: {pays}, as before in out\n' in said
    assert json.loads(Path('out/settings.json').read_text())['precision'] == pays
    assert [Path(line['photo']).name for line in lines_of('out')] == ['1.jpg', '2.jpg']


@pytest.mark.parametrize('text', ['no JSON', '[]', '{"precision": "fp8"}', '{"precision": []}'])
def test_auto_beside_settings_that_are_none_of_ours(model_folder, photos, refused, monkeypatch, text):
    monkeypatch.setattr('mgfe_ris.apis.infer.inferencer.choose_precision', lambda device: 'fp32')
    Path('out').mkdir()
    Path('out/settings.json').write_text(text)
    line = refused('photos/1.jpg', '--text', 'ring', '--model', model_folder, '--precision', 'auto', '--out', 'out')
    assert 'of another tool; name another folder' in line


def test_weights_away_from_their_config(model_folder, photos, infer):
    shutil.copy(model_folder / 'model.safetensors', 'weights.safetensors')
    for out, *model in (['a', model_folder], ['b', model_folder, '--checkpoint', 'weights.safetensors']):
        assert infer('photos/1.jpg', '--text', 'ring', '--out', out, '--model', *model)[0] == 0
    assert contents('a') == contents('b')


# Broken photos, and a run that is ended


def test_broken_photos_are_listed_at_the_end(model_folder, photos, infer):
    whole = (photos / '1.jpg').read_bytes()
    (photos / '1.jpg').write_bytes(whole[: len(whole) // 2])
    (photos / '4.jpg').write_text('no image')
    Path('list.csv').write_text('\n'.join(['photo,text', *(f'photos/{i}.jpg,ring' for i in (0, 1, 99, 4, 5))]))
    for _ in range(2):  # again: it may have been mended
        status, out, err = infer('list.csv', '--model', model_folder, '--out', 'out')
        assert status == 1 and 'results.jsonl of 2 photos' in out
        head, *broken = err.splitlines()[-4:]
        assert head == '3 of 5 photos are broken:'
        assert broken[0].startswith(f'{photos}/1.jpg: not a readable image (')
        assert broken[1] == f'{photos}/99.jpg: no such photo'
        assert broken[2].startswith(f'{photos}/4.jpg: not a readable image (')
        assert '5/5' in err and 'broken=3' in err and 'Traceback' not in err
        assert [line['name'] for line in lines_of('out')] == ['0', '5']
        check_pictures('out')


def test_where_all_photos_are_broken_nothing_is_said_to_be_written(model_folder, photos, infer):
    Path('list.csv').write_text('photo,text\ngone.jpg,ring\nhttp://127.0.0.1:9/x.jpg,ring\n')
    status, out, err = infer('list.csv', '--model', model_folder, '--out', 'out')
    assert status == 1 and 'wrote' not in out
    assert err.splitlines()[-3] == '2 of 2 photos are broken:'


STOPPED = """
import os, runpy, signal, sys, time
import mgfe_ris.apis.infer.result_folder as results

write, number, left = results.write_image, int(sys.argv.pop(1)), int(sys.argv.pop(1))
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores

def write_and_stop(picture, path):
    global left
    left -= 1
    if left == -1:
        path.with_name(f'.{path.name}.part').write_bytes(b'half')
        os.kill(os.getpid(), number)
        time.sleep(0.5)  # in which the main thread sees it
    write(picture, path)

results.write_image = write_and_stop
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.mark.parametrize(
    'by', [signal.SIGKILL, pytest.param(signal.SIGINT, marks=slow('10 s'))], ids=['killed', 'Ctrl-C']
)
def test_a_run_that_was_stopped_goes_on(model_folder, photos, infer, monkeypatch, by):
    (photos / '2.jpg').write_text('no image')
    asked = ['photos', '--text', 'ring', '--model', model_folder, '--device', 'cpu', '--batch-size', 3, '--out']
    status, *_ = infer(*asked, 'complete')
    assert status == 1
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', STOPPED, str(int(by)), '11', INFER, *map(str, asked), 'out'],
        env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    if by == signal.SIGINT:
        assert done.returncode == 130, done.stderr
        assert done.stderr.endswith('\nstopped; the same command goes on\n') and 'Traceback' not in done.stderr
    else:
        assert done.returncode == -signal.SIGKILL, done.stderr
    before = Path('out/results.jsonl').read_bytes()
    assert [line['name'] for line in lines_of('out')] == ['0', '1', '3', '4', '5']
    assert by == signal.SIGINT or list(Path('out').rglob('.*.part')), 'it was writing'
    with open('out/results.jsonl', 'ab') as file:
        file.write(b'{"name": "6", "pho')
    asked_of_model = []
    stream = RISInferencer.stream

    def watch(self, jobs, *args):
        jobs = list(jobs)
        asked_of_model.extend(Path(photo).stem for photo, _ in jobs)
        return stream(self, jobs, *args)

    monkeypatch.setattr(RISInferencer, 'stream', watch)
    status, out, err = infer(*asked, 'out')
    assert status == 1 and '1 of 10 photos are broken:' in err and '10/10' in err and 'of 9 photos' in out
    assert contents('out') == contents('complete')
    assert Path('out/results.jsonl').read_bytes().startswith(before)
    assert asked_of_model == ['2', '6', '7', '8', '9']


def test_a_full_disk(model_folder, photos, infer):
    asked = ['photos', '--text', 'ring', '--model', model_folder, '--out', 'out', '--batch-size', 2]
    Path('out/masks').mkdir(parents=True)
    infer('photos/0.jpg', *asked[1:], '--out', 'other')
    shutil.copy('other/settings.json', 'out')
    Path('out/masks/.5.png.part').symlink_to('/dev/full')
    status, out, err = infer(*asked)
    assert status == 1 and 'wrote' not in out
    last = err.splitlines()[-1]
    assert last.startswith('error: out cannot be written: ') and 'No space left on device' in last
    assert 'Traceback' not in err and 'broken' not in err
    assert [line['name'] for line in lines_of('out')] == ['0', '1', '2', '3']


# What it says of bad input


@pytest.fixture
def refused(infer, photos):
    """Runs the tool, which must stop with status 2 and one line, and leave nothing; returns the line."""

    def run_and_read(*args: object) -> str:
        before = {path: path.stat().st_mtime_ns for path in photos.parent.rglob('*')}
        status, out, err = infer(*args)
        (line,) = [line for line in err.splitlines() if line]
        assert status == 2 and line.startswith('error: ') and 'wrote' not in out
        assert {path: path.stat().st_mtime_ns for path in photos.parent.rglob('*')} == before, 'something was written'
        return line

    return run_and_read


def test_bad_sources(refused, photos, server, model_folder):
    Path('text.jpg').write_text('no image')
    Path('list.csv').write_text('photo,text\nphotos/1.jpg,ring\n')
    Path('wrong.csv').write_text('photo|text\nphotos/1.jpg;ring\n')
    Path('wrong.jsonl').write_text('{"photo": "photos/1.jpg", "text": "ring"}\n{"photo":\n')
    Path('empty').mkdir()
    whole = Path('photos/1.jpg').read_bytes()
    Path('half.jpg').write_bytes(whole[: len(whole) // 2])
    Path('deep.jsonl').write_text('[' * 100_000)
    text = ['--text', 'ring']
    for source, asked, words in (
        ('gone.jpg', text, 'gone.jpg: no such photo'),
        ('gone/', text, 'gone/: no such photo'),
        ('gone.csv', [], 'gone.csv: no such file'),
        ('text.jpg', text, 'text.jpg: not a readable image'),
        ('half.jpg', text, 'half.jpg: not a readable image'),
        (f'{server}/gone.jpg', text, f'{server}/gone.jpg: cannot be read (127.0.0.1 is not a public address'),
        (f'{server}/gone.jpg', ['--private-addresses', *text], f'{server}/gone.jpg: cannot be read (404'),
        ('http://', text, 'http://: cannot be read'),
        ('http://[bad/x.jpg', text, 'http://[bad/x.jpg: no address'),
        ('deep.jsonl', [], 'deep.jsonl, line 1: no JSON'),
        ('empty', text, 'empty: no photo in this folder'),
        ('wrong.csv', [], "wrong.csv, line 2: expected photo and text, got ['photo|text']"),
        ('wrong.jsonl', [], 'wrong.jsonl, line 2: no JSON'),
        ('list.csv', text, 'list.csv brings its sentences; leave --text away'),
        ('photos/1.jpg', [], 'photos/1.jpg: no sentence; say which object is meant: --text'),
        ('photos/1.jpg', ['--text', ' '], 'the sentence is empty'),
        ('photos', ['--text', 'ring', ''], 'the sentence is empty'),
        ('photos/1.jpg', ['--text', 'dog ' * 10_000], 'a sentence of 10000 words; say it in at most'),
    ):
        assert words in refused(source, *asked, '--model', model_folder)


def test_bad_models(refused, photos, model_folder):
    Path('page.pth').write_text('<html>')
    for options, words in (
        ([], 'work_dirs/quickstart: no such folder. bash tools/quickstart.sh trains this model'),
        (['--model', 'quickstart'], 'work_dirs/quickstart: no such folder. bash tools/quickstart.sh trains this model'),
        (
            ['--model', 'quickstart-photos'],
            'work_dirs/quickstart-photos: no such folder. bash tools/quickstart.sh --photos DIR trains this model',
        ),
        (['--model', 'mgfe-ris_tny_refshapes'], 'no such config file or folder. Did you mean mgfe-ris_tiny_refshapes'),
        (['--model', 'mgfe-ris_tiny_refshapes'], 'nothing was trained in work_dirs/mgfe-ris_tiny_refshapes'),
        (['--model', 'gone/best.pth'], 'gone/best.pth: no such checkpoint'),
        (['--model', model_folder, '--checkpoint', 'gone.pth'], 'gone.pth: no such checkpoint'),
        (['--model', model_folder, '--checkpoint', 'page.pth'], 'page.pth: not a checkpoint'),
        (
            ['--model', 'mgfe-ris_tiny_refshapes', '--checkpoint', model_folder / 'model.safetensors'],
            'model.safetensors does not fit the model of the config',
        ),
        (['--model', model_folder, '--device', 'gpu'], "device 'gpu': expected cpu, cuda"),
        (['--model', model_folder, '--batch-size', 0], 'batch_size must be'),
    ):
        assert words in refused('photos/1.jpg', '--text', 'ring', *options)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is CUDA')
def test_cuda_where_there_is_none(refused, model_folder):
    line = refused('photos/1.jpg', '--text', 'ring', '--model', model_folder, '--device', 'cuda')
    assert line.startswith('error: device cuda: this machine or this build of torch has no CUDA')


@pytest.mark.parametrize('threshold', ['0', '1', 'nan', '-0.5', 'inf'])
def test_thresholds_that_are_none(refused, model_folder, threshold):
    line = refused('photos/1.jpg', '--text', 'ring', '--model', model_folder, f'--threshold={threshold}')
    assert 'threshold must' in line and line.endswith(f'got {float(threshold)}')


def test_places_that_cannot_be_written(refused, infer, photos, model_folder):
    asked = ['photos/1.jpg', '--text', 'ring', '--model', model_folder, '--out']
    Path('mine').mkdir()
    Path('mine/notes.txt').touch()
    assert 'photos/1.jpg is a file; name a folder' in refused(*asked, 'photos/1.jpg')
    assert 'photos/1.jpg/out: this folder cannot be made' in refused(*asked, 'photos/1.jpg/out')
    assert 'mine is not empty; name another folder' in refused(*asked, 'mine')
    assert 'photos is not empty; name another folder' in refused(*asked, 'photos')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_of_somebody_else(refused, photos, model_folder):
    Path('theirs').mkdir(mode=0o500)
    line = refused('photos/1.jpg', '--text', 'ring', '--model', model_folder, '--out', 'theirs/out')
    assert 'Permission denied' in line and 'theirs/out' in line


def test_results_of_other_settings(refused, infer, photos, model_folder):
    asked = ['photos/1.jpg', '--text', 'ring', '--model', model_folder, '--out', 'out']
    assert infer(*asked)[0] == 0
    assert 'out holds results of other settings: threshold 0.5, now 0.6' in refused(*asked, '--threshold', 0.6)
    assert "other settings: precision 'fp32', now 'bf16'" in refused(*asked, '--precision', 'bf16')
    shutil.copytree(model_folder, 'other')
    state = load_model('other', device='cpu').state_dict()
    state['decode_head.classify.bias'] += 1
    torch.save(state, 'other.pth')
    assert 'other settings: weights' in refused(*asked, '--model', 'other', '--checkpoint', 'other.pth')


def test_a_checkpoint_alone(infer, photos, capfd):
    status, _, err = infer('photos/1.jpg', '--text', 'ring', '--checkpoint', 'best.pth')
    assert status == 2 and err.splitlines()[-1].startswith('infer.py: error: --checkpoint is for a --model')


@pytest.mark.parametrize('option', ['source', 'model', 'out', 'checkpoint', 'device'])
def test_names_that_are_empty(infer, photos, option):
    """As of a variable of the shell that is not set."""
    source, *options = [''] if option == 'source' else ['photos', f'--{option}=']
    status, _, err = infer(source, '--text', 'ring', *options)
    assert status == 2 and err.splitlines()[-1] == f'infer.py: error: {option} is empty'
    assert [path.name for path in photos.parent.iterdir()] == ['photos']
