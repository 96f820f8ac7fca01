"""The folder of what was found."""

import gc
import json
import os
import shutil
import tracemalloc
import weakref
from itertools import pairwise
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from PIL import Image
from slow import slow

from mgfe_ris.apis import Job, RISInferencer, read_jobs, segment_jobs
from mgfe_ris.visualization import read_photo


@pytest.fixture(scope='module')
def inferencer(model_folder) -> RISInferencer:
    return RISInferencer(model_folder, device='cpu', batch_size=4)


@pytest.fixture(scope='module')
def drawn(refshapes) -> list[Path]:
    return sorted((refshapes / 'images/refshapes').iterdir())


@pytest.fixture
def photos(drawn, tmp_path) -> Path:
    """A folder with twelve photos, 00.jpg to 11.jpg."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(12):
        shutil.copy(drawn[i], folder / f'{i:02}.jpg')
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / 'results.jsonl').read_text(encoding='utf-8').splitlines()]


def run(inferencer: RISInferencer, jobs: list[Job], folder: Path, threshold: float = 0.5) -> dict[str, str]:
    """Photos that are broken, by their names."""
    ended = list(segment_jobs(inferencer, jobs, folder, threshold))
    assert [job for job, _ in ended] == jobs
    return {Path(job.photo).name: str(error) for job, error in ended if error}


# What was found


def test_the_longest_name_that_a_file_may_have(tmp_path, drawn, inferencer):
    photo = Path(shutil.copy(drawn[0], tmp_path / f'{"狗" * 83}.jpg'))
    assert len(os.fsencode(photo.name)) == 253
    assert not run(inferencer, read_jobs(photo, ['a']), tmp_path / 'out')
    (name,) = (path.stem for path in (tmp_path / 'out/masks').iterdir())
    assert name == '狗' * 66 == lines_of(tmp_path / 'out')[0]['name']


def test_files_say_what_the_inferencer_finds(inferencer, photos, tmp_path, one_thread):
    for i in range(12):  # of other sizes, as people's photos are
        with Image.open(photos / f'{i:02}.jpg') as image:
            image.resize((60 + 7 * i, 90 - 5 * i)).save(photos / f'{i:02}.jpg')
    sentences = ['the red ring', 'a blue square']
    jobs = read_jobs(photos, sentences)
    assert not run(inferencer, jobs, tmp_path / 'out')
    lines = iter(lines_of(tmp_path / 'out'))
    for i, job in enumerate(jobs):
        for sentence, name, expected in zip(
            sentences, (f'{i:02}', f'{i:02}-2'), inferencer(job.photo, sentences), strict=True
        ):
            line = next(lines)
            assert 0 < expected.area < expected.mask.size
            assert line == {
                'name': name,
                'photo': str(photos / f'{i:02}.jpg'),
                'sentence': sentence,
                'box': list(expected.box),
                'area': int(expected.mask.sum()),
                'confidence': pytest.approx(float(expected.score[expected.mask].mean()), abs=6e-5),
                'understood': True,
                'rle': expected.rle,
            }
            mask = np.asarray(Image.open(tmp_path / f'out/masks/{name}.png'))
            assert set(np.unique(mask)) == {0, 255}
            np.testing.assert_array_equal(mask == 255, expected.mask)
            np.testing.assert_array_equal(coco_mask.decode(line['rle']), expected.mask)
            rows, columns = np.nonzero(mask)
            assert line['box'] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            overlay = np.asarray(Image.open(tmp_path / f'out/overlays/{name}.png'))
            np.testing.assert_array_equal(overlay, expected.overlay())
            untouched = overlay[: mask.shape[0]][mask == 0]
            np.testing.assert_array_equal(untouched, read_photo(job.photo)[mask == 0])
    assert next(lines, None) is None
    written = {f'{name:02}{twice}.png' for name in range(12) for twice in ('', '-2')}
    for kind in ('masks', 'overlays'):
        assert {path.name for path in (tmp_path / 'out' / kind).iterdir()} == written


def test_photos_share_batches_as_a_call_does(inferencer, photos, tmp_path, one_thread):
    """Rounding depends on what shares a batch; the same photos at once are the same bits."""
    jobs = read_jobs(photos, ['the red ring'])
    assert not run(inferencer, jobs, tmp_path / 'out')
    expected = inferencer([job.photo for job in jobs], 'the red ring')
    assert [line['rle'] for line in lines_of(tmp_path / 'out')] == [result.rle for result in expected]
    alone = [inferencer(job.photo, 'the red ring').rle for job in jobs]
    assert alone != [result.rle for result in expected], 'if not, this and the tests below prove nothing'


def test_many_sentences_about_a_photo(inferencer, photos, tmp_path, monkeypatch, one_thread):
    """Memory does not grow with their number; what is found is what a call finds."""
    sentences = [
        f'{size} {shape}' for size in ('big', 'small', 'blue') for shape in ('ring', 'square', 'moon', 'cross')
    ]
    jobs = read_jobs(photos, sentences[:10])[:2]
    expected = inferencer([job.photo for job in jobs], [sentences[:10]] * 2)
    held = watch_results(inferencer, monkeypatch)
    assert not run(inferencer, jobs, tmp_path / 'out')
    assert max(held) <= 4, 'as many as a batch'
    lines = lines_of(tmp_path / 'out')
    assert [(line['photo'], line['sentence']) for line in lines] == [(j.photo, s) for j in jobs for s in j.sentences]
    assert [line['rle'] for line in lines] == [result.rle for results in expected for result in results]
    assert [line['name'] for line in lines[:10]] == ['00', *(f'00-{i}' for i in range(2, 11))]


def watch_results(inferencer: RISInferencer, monkeypatch) -> list[int]:
    """How many are alive whenever there are new ones."""
    alive: weakref.WeakSet = weakref.WeakSet()
    held: list[int] = []
    stream = inferencer.stream

    def watch(*args):
        for results in stream(*args):
            if isinstance(results, list):
                alive.update(results)
                held.append(len(alive))
            yield results
            del results

    monkeypatch.setattr(inferencer, 'stream', watch)
    return held


def test_names_that_collide(inferencer, drawn, tmp_path):
    names = ['dog.jpg', 'dog.png', 'Dog.JPG', 'dog-2.jpg', 'a/dog.jpg', 'b/Dog.jpg']
    for i, name in enumerate(names):
        (tmp_path / 'photos' / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(drawn[i]).save(tmp_path / 'photos' / name)
    for source in ('folder', 'list.csv'):
        path = tmp_path / 'photos'
        if source == 'list.csv':
            path = tmp_path / 'photos/list.csv'
            path.write_text('\n'.join(['photo,text', *(f'{name},a ring' for name in names)]))
        out = tmp_path / f'out of {source}'
        assert not run(inferencer, read_jobs(path, ['a ring'] if source == 'folder' else ()), out)
        lines = {os.path.relpath(line['photo'], tmp_path / 'photos'): line for line in lines_of(out)}
        assert lines.keys() == set(names)
        assert len({line['name'].lower() for line in lines.values()}) == 6
        assert lines['a/dog.jpg']['name'] == ('a/dog' if source == 'folder' else 'dog-4')
        for line in lines.values():
            mask = np.asarray(Image.open(out / f'masks/{line["name"]}.png'))
            np.testing.assert_array_equal(mask > 0, coco_mask.decode(line['rle']))
            overlay = np.asarray(Image.open(out / f'overlays/{line["name"]}.png'))
            np.testing.assert_array_equal(overlay[:64][mask == 0], read_photo(line['photo'])[mask == 0])


def test_names_that_are_no_text(inferencer, drawn, tmp_path):
    """File systems take any bytes."""
    photo = os.fsdecode(os.fsencode(tmp_path / 'd') + b'\xff.jpg')
    shutil.copy(drawn[0], photo)
    for _ in range(2):
        assert not run(inferencer, read_jobs(tmp_path, ['a 狗']), tmp_path / 'out')
        (line,) = lines_of(tmp_path / 'out')
        assert line['photo'] == photo and line['sentence'] == 'a 狗'
    assert '狗' in (tmp_path / 'out/results.jsonl').read_text(encoding='utf-8'), 'people read it, too'


# What is broken


def break_photos(folder: Path) -> list[str]:
    whole = (folder / '01.jpg').read_bytes()
    (folder / '01.jpg').write_bytes(whole[: len(whole) // 2])
    (folder / '04.jpg').write_text('no image')
    (folder / '06.jpg').write_bytes(b'')
    (folder / '07.jpg').unlink()
    (folder / '09.jpg').write_bytes(whole[:100])
    return ['01.jpg', '04.jpg', '06.jpg', '07.jpg', '09.jpg']


def test_broken_photos_are_told_and_the_others_done(inferencer, photos, tmp_path, one_thread):
    jobs = read_jobs(photos, ['a ring'])
    names = break_photos(photos)
    broken = run(inferencer, jobs, tmp_path / 'out')
    assert list(broken) == names
    assert broken['07.jpg'] == f'{photos}/07.jpg: no such photo'
    for name in ('01.jpg', '04.jpg', '06.jpg', '09.jpg'):
        assert broken[name].startswith(f'{photos}/{name}: not a readable image (')
    done = [f'{i:02}' for i in (0, 2, 3, 5, 8, 10, 11)]
    assert [line['name'] for line in lines_of(tmp_path / 'out')] == done
    assert {path.stem for path in (tmp_path / 'out').rglob('*.png')} == set(done)


def test_a_broken_photo_is_tried_and_told_once(inferencer, photos, tmp_path, monkeypatch):
    jobs = read_jobs(photos, [f'ring {i}' for i in range(10)])[:2]
    (photos / '00.jpg').write_text('no image')
    asked = ask(inferencer, monkeypatch)
    assert list(run(inferencer, jobs, tmp_path / 'out')) == ['00.jpg']
    assert [Path(photo).stem for photo, _ in asked] == ['00', '01', '01', '01']
    assert len(lines_of(tmp_path / 'out')) == 10


def test_a_photo_that_was_mended_is_done_in_the_next_run(inferencer, photos, tmp_path, drawn):
    jobs = read_jobs(photos, ['a ring'])
    break_photos(photos)
    run(inferencer, jobs, tmp_path / 'out')
    for i in (1, 4):
        shutil.copy(drawn[i], photos / f'{i:02}.jpg')
    assert list(run(inferencer, jobs, tmp_path / 'out')) == ['06.jpg', '07.jpg', '09.jpg']
    assert [line['name'] for line in lines_of(tmp_path / 'out')][-2:] == ['01', '04']


def test_a_photo_that_vanishes_while_the_model_computes(inferencer, photos, tmp_path, monkeypatch):
    stream = inferencer.stream

    def watch(*args):
        for results in stream(*args):
            (photos / '05.jpg').unlink(missing_ok=True)
            yield results

    monkeypatch.setattr(inferencer, 'stream', watch)
    assert list(run(inferencer, read_jobs(photos, ['a ring'])[4:8], tmp_path / 'out')) == ['05.jpg']
    assert [line['name'] for line in lines_of(tmp_path / 'out')] == ['04', '06', '07']


def test_a_full_disk_stops_the_run(inferencer, photos, tmp_path):
    jobs, out = read_jobs(photos, ['a ring']), tmp_path / 'out'
    complete = tmp_path / 'complete'
    run(inferencer, jobs, complete)
    run(inferencer, jobs[:4], out)
    (out / 'masks/.06.png.part').symlink_to('/dev/full')
    ended = []
    with pytest.raises(OSError, match='No space left on device'):
        ended.extend(segment_jobs(inferencer, jobs, out))
    assert ended == [(job, None) for job in jobs[:4]], 'no photo is called broken'
    assert len(lines_of(out)) == 4, 'what has a line is whole'
    (out / 'masks/.06.png.part').unlink(missing_ok=True)
    run(inferencer, jobs, out)
    assert contents(out) == contents(complete)


# Going on


class Killed(Exception):
    """In the place of a signal, for which test_infer.py starts a process."""


def kill_at(monkeypatch, picture: int) -> None:
    """Half-way through writing a picture."""
    import mgfe_ris.apis.infer.result_folder as module

    write, count = module.write_image, iter(range(10**6))

    def write_or_die(array: np.ndarray, path: Path) -> None:
        if next(count) >= picture:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'\x89PNG half')
            raise Killed
        write(array, path)

    monkeypatch.setattr(module, 'write_image', write_or_die)


@pytest.mark.parametrize('sentences', [['a ring'], ['a ring', 'the red square', 'left'], list('abcdefghi')])
@pytest.mark.parametrize('picture', [0, 5, 8, 13])
def test_a_run_that_was_killed_ends_with_the_same_bytes(
    inferencer, photos, tmp_path, monkeypatch, one_thread, sentences, picture
):
    jobs = read_jobs(photos, sentences)
    broken = break_photos(photos)
    assert list(run(inferencer, jobs, tmp_path / 'complete')) == broken
    out = tmp_path / 'out'
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, picture)
        run(inferencer, jobs, out)
    before = (out / 'results.jsonl').read_bytes()
    asked = ask(inferencer, monkeypatch)
    assert list(run(inferencer, jobs, out)) == broken
    assert contents(out) == contents(tmp_path / 'complete')
    assert (out / 'results.jsonl').read_bytes().startswith(before)
    done = {(line['photo'], line['sentence']) for line in map(json.loads, before.splitlines())}
    assert picture < 8 or done
    computed = {(photo, sentence) for photo, sentences in asked for sentence in sentences}
    assert not done & computed, 'what is done is not computed again'


def ask(inferencer: RISInferencer, monkeypatch) -> list[tuple[str, tuple[str, ...]]]:
    """What the inferencer is asked from now on."""
    asked: list[tuple[str, tuple[str, ...]]] = []
    stream = inferencer.stream

    def watch(jobs, threshold):
        jobs = list(jobs)
        asked.extend(jobs)
        return stream(jobs, threshold)

    monkeypatch.setattr(inferencer, 'stream', watch)
    return asked


@pytest.mark.parametrize('cut', [1, 40, -1])
def test_half_a_line_is_cut_off(inferencer, photos, tmp_path, monkeypatch, one_thread, cut):
    jobs, out = read_jobs(photos, ['a ring']), tmp_path / 'out'
    run(inferencer, jobs, out)
    complete = contents(out)
    lines = complete['results.jsonl'].splitlines(keepends=True)
    (out / 'results.jsonl').write_bytes(b''.join(lines[:8]) + lines[8][:cut])
    asked = ask(inferencer, monkeypatch)
    assert not run(inferencer, jobs, out)
    assert contents(out) == complete and [photo for photo, _ in asked] == [job.photo for job in jobs[8:]]


def test_another_sentence_into_the_same_folder(inferencer, photos, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    run(inferencer, read_jobs(photos, ['a ring']), out)
    before = contents(out)
    asked = ask(inferencer, monkeypatch)
    run(inferencer, read_jobs(photos, ['a square', 'a ring']), out)
    assert {sentences for _, sentences in asked} == {('a square',)} and len(asked) == 12
    now = contents(out)
    assert now['results.jsonl'].startswith(before['results.jsonl'])
    assert all(now[name] == data for name, data in before.items() if name != 'results.jsonl')
    lines = lines_of(out)
    assert [line['name'] for line in lines if line['sentence'] == 'a square'] == [f'{i:02}-2' for i in range(12)]
    for line in lines:
        mask = np.asarray(Image.open(out / f'masks/{line["name"]}.png'))
        np.testing.assert_array_equal(mask > 0, coco_mask.decode(line['rle']))


def test_results_of_other_settings_are_left_alone(inferencer, model_folder, photos, tmp_path):
    jobs, out = read_jobs(photos, ['a ring'])[:2], tmp_path / 'out'
    run(inferencer, jobs, out)
    with open(out / 'results.jsonl', 'a') as file:
        file.write('half a li')
    before = contents(out)
    half = RISInferencer(model_folder, device='cpu', precision='bf16')
    other = RISInferencer(model_folder, device='cpu')
    other.model.decode_head.classify.bias.data[0] += 1e-3
    larger = RISInferencer(model_folder, device='cpu')
    larger.model.cfg.test_dataloader.dataset.pipeline[0].transforms[1]['keep_ratio'] = True
    for changed, threshold, words in (
        (inferencer, 0.4, 'other settings: threshold 0.5, now 0.4; name another folder'),
        (half, 0.5, "other settings: precision 'fp32', now 'bf16'; name another folder"),
        (other, 0.5, r"other settings: weights '\w+', now '\w+'; name another folder"),
        (larger, 0.5, r"other settings: pipeline .* now .*'keep_ratio': True"),
    ):
        with pytest.raises(ValueError, match=f'{out} holds results of {words}'):
            segment_jobs(changed, jobs, out, threshold)
    assert contents(out) == before


@pytest.mark.parametrize(
    ('name', 'text', 'error', 'words'),
    [
        ('masks/dog.png', 'by hand', FileExistsError, 'out is not empty; name another folder'),
        ('results.jsonl', '{}', FileExistsError, 'out is not empty; name another folder'),
        ('settings.json', '{"theme": "dark"}', ValueError, 'settings.json is of another tool'),
        ('settings.json', '["dark"]', ValueError, 'settings.json is of another tool'),
        ('settings.json', 'dark', ValueError, 'settings.json is of another tool'),
        ('settings.json', '[' * 100_000, ValueError, 'settings.json is of another tool'),
        ('.settings.json.part', 'half', FileExistsError, 'out is not empty; name another folder'),
    ],
)
def test_what_others_wrote_is_left_alone(inferencer, photos, tmp_path, name, text, error, words):
    path = tmp_path / 'out' / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(error, match=words):
        segment_jobs(inferencer, read_jobs(photos, ['a ring']), tmp_path / 'out')
    assert contents(tmp_path / 'out') == {name: text.encode()}


def test_a_run_that_was_killed_ahead_of_its_settings(inferencer, photos, tmp_path):
    jobs, out = read_jobs(photos, ['a ring'])[:2], tmp_path / 'out'
    run(inferencer, jobs, tmp_path / 'complete')
    out.mkdir()
    (out / 'results.jsonl').touch()
    (out / '.settings.json.part').symlink_to('/dev/full')
    with pytest.raises(OSError, match='No space left on device'):
        segment_jobs(inferencer, jobs, out)
    assert not (out / 'settings.json').exists(), 'whole or not at all'
    (out / 'notes.txt').touch()
    with pytest.raises(FileExistsError, match='out is not empty'):
        segment_jobs(inferencer, jobs, out)
    (out / 'notes.txt').unlink()
    (out / '.settings.json.part').unlink()
    (out / '.settings.json.part').write_text('{"wei')
    assert not run(inferencer, jobs, out)
    assert contents(out) == contents(tmp_path / 'complete')


def test_a_run_of_other_settings_that_was_faster(inferencer, photos, tmp_path, monkeypatch):
    """It has begun and ended between our look at the folder and our lock."""
    from mgfe_ris.apis.infer import result_folder

    jobs, out = read_jobs(photos, ['a ring'])[:2], tmp_path / 'out'
    lock = result_folder.lock_folder

    def lose(*folder):
        monkeypatch.setattr(result_folder, 'lock_folder', lock)
        run(inferencer, jobs, out, 0.4)
        lock(*folder)

    monkeypatch.setattr(result_folder, 'lock_folder', lose)
    with pytest.raises(ValueError, match=r'other settings: threshold 0\.4, now 0\.5'):
        segment_jobs(inferencer, jobs, out)
    assert not run(inferencer, jobs, out, 0.4) and len(lines_of(out)) == 2


def test_a_folder_in_a_file(inferencer, photos, tmp_path):
    jobs = read_jobs(photos, ['a ring'])
    for folder, error, words in (
        (photos / '00.jpg', FileExistsError, '00.jpg is a file; name a folder'),
        (photos / '00.jpg/out', OSError, '00.jpg/out: this folder cannot be made'),
        (photos / '00.jpg/out/1', OSError, '00.jpg/out/1: this folder cannot be made'),
    ):
        with pytest.raises(error, match=words):
            segment_jobs(inferencer, jobs, folder)


def test_lines_that_are_no_results(inferencer, photos, tmp_path):
    jobs, out = read_jobs(photos, ['a ring'])[:2], tmp_path / 'out'
    run(inferencer, jobs, out)
    number = '{"photo": "a", "sentence": "b", "name": 5}\n'
    for line in ('no json\n', '[]\n', '{"photo": "a"}\n', number, '[' * 100_000 + '\n'):
        with open(out / 'results.jsonl', 'a') as file:
            file.write(line)
        before = contents(out)
        with pytest.raises(ValueError, match=r'results\.jsonl, line 3: no result of ours'):
            segment_jobs(inferencer, jobs, out)
        assert contents(out) == before
        (out / 'results.jsonl').write_bytes(b''.join(before['results.jsonl'].splitlines(keepends=True)[:2]))


def test_two_runs_at_once(inferencer, photos, tmp_path):
    """The second would give its files the names of the first one's."""
    jobs = read_jobs(photos, ['a ring'])
    first = segment_jobs(inferencer, jobs, tmp_path / 'out')
    next(first)
    with pytest.raises(ValueError, match='another run is writing there'):
        segment_jobs(inferencer, jobs, tmp_path / 'out')
    list(first)
    assert not run(inferencer, jobs, tmp_path / 'out') and len(lines_of(tmp_path / 'out')) == 12


@pytest.mark.parametrize('threshold', [0, 1, float('nan'), -1, 2])
def test_a_threshold_that_is_none(inferencer, photos, tmp_path, threshold):
    with pytest.raises(ValueError, match=r'threshold must .* between 0 and 1'):
        segment_jobs(inferencer, read_jobs(photos, ['a ring']), tmp_path / 'out', threshold)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('threshold', [0.3, 0.51])
def test_the_threshold_is_that_of_the_scores(inferencer, photos, tmp_path, threshold):
    jobs = read_jobs(photos, ['a ring'])[:4]
    run(inferencer, jobs, tmp_path / 'out', threshold)
    scores = [result.score for result in inferencer([job.photo for job in jobs], 'a ring')]
    for job, score in zip(jobs, scores, strict=True):
        mask = np.asarray(Image.open(tmp_path / f'out/masks/{job.name}.png')) > 0
        sure = abs(score - threshold) > 1e-5
        np.testing.assert_array_equal(mask[sure], (score > threshold)[sure])


@slow('10 s')
def test_memory_does_not_grow_with_the_number_of_photos(inferencer, drawn, tmp_path, monkeypatch, one_thread):
    """What is kept of a photo are its names, some hundred bytes; its pictures are ten thousands."""
    (tmp_path / 'photos').mkdir()
    for i in range(120):
        (tmp_path / f'photos/{i}.jpg').symlink_to(drawn[i % 40])
    held = watch_results(inferencer, monkeypatch)
    jobs = read_jobs(tmp_path / 'photos', ['a ring'])
    kept = []
    tracemalloc.start()
    try:
        for i, _ in enumerate(segment_jobs(inferencer, jobs, tmp_path / 'out'), 1):
            if i % 40 == 0:
                gc.collect()
                kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(held) <= 8
    # the least: interpreters enlarge tables of their own now and then
    each = min(after - before for before, after in pairwise(kept)) / 40
    assert each < 2000, f'{each:.0f} bytes are kept of each photo'
