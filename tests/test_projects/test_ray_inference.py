"""Masks for many photos by workers of Ray: each sentence once, whoever is killed."""

import importlib.util
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pycocotools.mask as coco_mask
import pytest
from pyarrow import parquet
from slow import SLOW, slow

from mgfe_ris.apis import RISResult

os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
ray = pytest.importorskip('ray', reason='needs Ray: pip install -r projects/ray_inference/requirements.txt')
pytest.importorskip('ray.data', reason='needs Ray: pip install -r projects/ray_inference/requirements.txt')

REPO = Path(__file__).parents[2]
RUN = REPO / 'projects/ray_inference/run.py'
SHARD_ROWS = 7


@pytest.fixture(scope='module')
def project() -> object:
    """run.py as a module; the files beside it are imported by their names."""
    sys.path.insert(0, str(RUN.parent))
    spec = importlib.util.spec_from_file_location('ray_inference_run', RUN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(RUN.parent))


@pytest.fixture(scope='module')
def cluster() -> None:
    """Of two workers, which do not know where the files of the project are."""
    path, sys.path[:] = sys.path[:], [place for place in sys.path if place != str(RUN.parent)]
    ray.init('local', num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    sys.path[:] = path
    yield
    ray.shutdown()


@pytest.fixture(scope='module')
def photos(refshapes, tmp_path_factory) -> Path:
    """A folder with photos, and what only looks like one."""
    folder = tmp_path_factory.mktemp('photos')
    for path in (refshapes / 'images/refshapes').iterdir():
        shutil.copy(path, folder / path.name)
    whole = (folder / '000001.jpg').read_bytes()
    (folder / 'half.jpg').write_bytes(whole[: len(whole) // 2])
    (folder / 'text.jpg').write_text('no image')
    return folder


GOOD = [(f'{i % 40 + 1:06d}.jpg', ['red ring', f'the {i}th shape', 'a 狗'][: 2 + i % 2]) for i in range(100)]
BROKEN = [
    # line of JSON; sentences of the row; error of each, None: there is a mask
    ({'photo': 'gone.jpg', 'text': ['a', 'b']}, ['a', 'b'], ['gone.jpg: no such photo'] * 2),
    ({'photo': 'half.jpg', 'text': 'a'}, ['a'], ['half.jpg: not a readable image']),
    ({'photo': 'text.jpg', 'text': 'a'}, ['a'], ['text.jpg: not a readable image']),
    ({'photo': '000001.jpg', 'text': ['a', ' ', 'b']}, ['a', ' ', 'b'], [None, 'the sentence is empty', None]),
    ({'photo': '000001.jpg', 'text': ['a', '\u0301']}, ['a', '\u0301'], [None, 'has no character']),
    (
        {'photo': '000001.jpg', 'text': ['a', 5, None]},
        ['a', None, None],
        [None, 'must be text; got int', 'no sentence'],
    ),
    ({'photo': '000001.jpg', 'text': []}, [None], ['no sentence']),
    ({'photo': '000001.jpg', 'text': None}, [None], ['no sentence']),
    ({'photo': '000001.jpg', 'text': 'a\ud800'}, ['a\\ud800'], ['a letter that is none']),
    ({'photo': '', 'text': 'a'}, ['a'], ['the photo is empty']),
    ({'photo': {'bytes': 'x'}, 'text': 'a'}, ['a'], ['the photo is empty or no text']),
    ({'photo': 'x' * 300 + '.jpg', 'text': 'a'}, ['a'], ['File name too long']),
    ({'photo': '000001.jpg\0', 'text': 'a'}, ['a'], ['no such photo']),
    ({'photo': '\udcff.jpg', 'text': 'a'}, ['a'], ['\\udcff.jpg: no such photo']),
    ({'photo': '000001.jpg', 'caption': 'a', 'text': 'b'}, ['b'], [None]),
    ({'photo': '000001.jpg'}, [None], ["expected photo and text, got {'photo'"]),
    ([1, 2], [None], ['expected photo and text, got [1, 2]']),
    ('{"photo": "000001.jpg", "text": "a', [None], ['no JSON']),
    ('\udcff', [None], ['no JSON']),
    ('[' * 100_000, [None], ['no JSON']),
]
ERRORS = sum(error is not None for *_, errors in BROKEN for error in errors)


@pytest.fixture(scope='module')
def pairs(photos) -> Path:
    """A folder with JSON lines, of which some are broken, and a parquet file in groups of rows."""
    folder = photos / 'pairs'
    folder.mkdir()
    rows = [row if isinstance(row, str) else json.dumps(row) for row, *_ in BROKEN]
    rows = [json.dumps({'photo': GOOD[0][0], 'text': GOOD[0][1]}), '', *rows, '  ']
    text = '\r\n'.join(rows).encode(errors='surrogateescape')
    (folder / 'broken.jsonl').write_bytes(b'\xef\xbb\xbf' + text)
    table = pa.table({'image': [photo for photo, _ in GOOD], 'n': range(100), 'sentences': [s for _, s in GOOD]})
    parquet.write_table(table, folder / 'good.parquet', row_group_size=15)
    (folder / '.half.parquet').write_text('of another program')
    return folder


@pytest.fixture(scope='module')
def arguments(pairs, photos, model_folder) -> list:
    return [pairs, '--data-root', photos, '--model', model_folder, '--shard-rows', SHARD_ROWS, '--gpus-per-worker', 0]


def run(project, *args: object) -> None:
    argv, sys.argv = sys.argv, ['run.py', *map(str, args)]
    try:
        project.main()
    finally:
        sys.argv = argv


def workers_in_the_middle(parts: Path) -> list[int]:
    """Numbers of the processes that compute a shard now."""
    found = []
    for path in parts.glob('.*.tries'):
        try:
            found.append(int(path.read_text().split()[-1]))
        except (FileNotFoundError, IndexError):  # it has ended, or just begins
            continue
    return found


def kill_a_worker(parts: Path, before: int, killed: list[int], stop: threading.Event) -> None:
    """In the middle of a shard: halted first, to see that it is; once there are more parts than before."""
    while not (killed or stop.is_set()):
        for pid in workers_in_the_middle(parts) if len(list(parts.glob('part-*'))) > before else ():
            os.kill(pid, signal.SIGSTOP)
            if pid in workers_in_the_middle(parts):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)


@pytest.fixture(scope='module')
def half_done(project, arguments, tmp_path_factory) -> tuple[Path, dict[Path, int]]:
    """The folder of a run whose driver was killed in the middle; its parts, and when they were written."""
    if not SLOW:
        pytest.skip('a cluster and three models to load, a minute: MGFE_RIS_SLOW=1 runs it')
    out = tmp_path_factory.mktemp('ray') / 'out'
    command = [sys.executable, '-W', 'ignore', RUN, *arguments, '--out', out]
    environment = {**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'}
    with subprocess.Popen([*map(str, command)], env=environment, stderr=subprocess.PIPE) as driver:
        try:
            workers = wait_for_parts(out / 'parts', driver)
        finally:
            driver.kill()
            driver.stderr.close()
    wait_for_the_end_of(workers)
    (out / 'parts/.part-000017.parquet.1.part').write_bytes(b'half')
    parts = {path: path.stat().st_mtime_ns for path in (out / 'parts').glob('part-*')}
    assert 2 <= len(parts) < 18
    for path in parts:
        parquet.read_table(path)
    return out, parts


def wait_for_parts(parts: Path, driver: subprocess.Popen) -> list[int]:
    """Until two are there and another one is computed -> its workers."""
    for _ in range(60_000):
        workers = workers_in_the_middle(parts)
        if workers and len(list(parts.glob('part-*'))) >= 2:
            return workers
        assert driver.poll() is None, driver.stderr.read().decode()
        time.sleep(0.01)
    raise AssertionError('no part came')


def wait_for_the_end_of(processes: list[int]) -> None:
    for _ in range(600):
        if not any(Path(f'/proc/{pid}').exists() for pid in processes):
            return
        time.sleep(0.1)
    raise AssertionError(f'{processes} outlive the driver')


@pytest.fixture(scope='module')
def finished(half_done, cluster, project, arguments) -> Path:
    """Run again, by two workers on a cluster that is there; one is killed in the middle of a shard."""
    out, parts = half_done
    killed: list[int] = []
    stop = threading.Event()
    killer = threading.Thread(target=kill_a_worker, args=(out / 'parts', len(parts), killed, stop))
    killer.start()
    try:
        run(project, *arguments, '--out', out, '--workers', 2)
    finally:
        stop.set()
        killer.join()
    assert killed
    return out


def rows_of(out: Path) -> list[dict]:
    return parquet.read_table(out / 'parts').to_pylist()


# Each sentence once


def test_each_sentence_of_each_row_comes_once_though_a_worker_was_killed(finished, pairs):
    broken = [(0, i) for i in range(2)] + [(n, i) for n, row in enumerate(BROKEN, 1) for i in range(len(row[1]))]
    good = [(n, i) for n, (_, sentences) in enumerate(GOOD) for i in range(len(sentences))]
    expected = [(str(pairs / 'broken.jsonl'), *key) for key in broken] + [
        (str(pairs / 'good.parquet'), *key) for key in good
    ]
    assert [(row['file'], row['row'], row['sentence_index']) for row in rows_of(finished)] == expected
    names = [f'part-{i:06d}.parquet' for i in range(3 + 15)]
    assert sorted(os.listdir(finished / 'parts')) == names, 'nothing is left of the worker that was killed'


def test_parts_have_one_schema(finished):
    from shard_worker import SCHEMA

    assert {parquet.read_schema(path) == SCHEMA for path in (finished / 'parts').iterdir()} == {True}


def test_the_doubt_of_a_model_that_says_it_has_a_column(finished):
    from shard_worker import SCHEMA, _columns

    mask = np.zeros((2, 3), dtype=bool)
    result = RISResult(Path('dog.jpg'), 'the third dog', mask.astype(np.float32), mask, no_target=0.75)
    assert pa.Table.from_pylist([_columns(result)], SCHEMA)['no_target'].to_pylist() == [0.75]
    assert {row['no_target'] for row in rows_of(finished)} == {None}, 'of a model that does not say'


def test_broken_rows_say_what_is_wrong(finished):
    rows = [row for row in rows_of(finished) if row['file'].endswith('.jsonl') and row['row']]
    expected = [(s, e) for _, sentences, errors in BROKEN for s, e in zip(sentences, errors, strict=True)]
    for row, (sentence, error) in zip(rows, expected, strict=True):
        assert row['sentence'] == sentence
        if error is None:
            assert row['error'] is None and row['rle'] and row['area'] is not None
        else:
            assert error in row['error'], row
            assert all(row[name] is None for name in ('rle', 'bbox', 'area', 'confidence', 'understood'))


def test_masks_are_those_of_the_tool_for_one_machine(finished, photos, model_folder, one_thread, tmp_path, monkeypatch):
    lines = [{'photo': str(photos / photo), 'text': text} for photo, text in GOOD]
    (tmp_path / 'list.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines[:40]))
    asked = [tmp_path / 'list.jsonl', '--model', model_folder, '--out', tmp_path / 'out', '--device', 'cpu']
    monkeypatch.setattr(sys, 'argv', ['infer.py', *map(str, asked)])
    runpy.run_path(str(REPO / 'tools/infer.py'), run_name='__main__')
    expected = [json.loads(line) for line in (tmp_path / 'out/results.jsonl').read_text().splitlines()]
    rows = [row for row in rows_of(finished) if row['file'].endswith('good.parquet') and row['row'] < 40]
    assert len(rows) == 100
    for row, line in zip(rows, expected, strict=True):
        assert (str(photos / row['photo']), row['sentence']) == (line['photo'], line['sentence'])
        assert all(row[name] == line[name] for name in ('rle', 'area', 'understood'))
        assert row['confidence'] == pytest.approx(line['confidence'], abs=2e-4)
        left, top, width, height = row['bbox']
        assert [left, top, left + width, top + height] == line['box']
    ys, xs = np.nonzero(coco_mask.decode(rows[0]['rle']))
    assert rows[0]['bbox'] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]


def test_pandas_reads_it(finished):
    pandas = pytest.importorskip('pandas', reason='pandas comes with Ray Data')
    table = pandas.read_parquet(finished / 'parts')
    assert len(table) == len(rows_of(finished)) and table['error'].notna().sum() == ERRORS


# Killed, and run again


def test_what_a_killed_driver_left_is_not_computed_again(half_done, finished):
    _, parts = half_done
    assert {path: path.stat().st_mtime_ns for path in parts} == parts


def test_a_finished_run_starts_no_cluster(finished, project, arguments, monkeypatch, capsys):
    monkeypatch.setattr(project, 'start_ray', None)
    before = {path: path.stat().st_mtime_ns for path in finished.rglob('part-*')}
    run(project, *arguments, '--out', finished)
    assert capsys.readouterr().out.endswith(f'results, {ERRORS} of them errors\n')
    assert {path: path.stat().st_mtime_ns for path in finished.rglob('part-*')} == before


def test_the_check_finds_what_is_wrong(finished, pairs, project, tmp_path, capsys):
    shutil.copytree(finished, out := tmp_path / 'out')
    run(project, pairs, '--out', out, '--check')
    assert capsys.readouterr().out == f'{out} has each sentence of 121 rows once\n'
    parts = [out / f'parts/part-{i:06d}.parquet' for i in range(5)]
    parts[0].unlink()
    table = parquet.read_table(parts[1])
    parquet.write_table(pa.concat_tables([table, table.slice(0, 1)]), parts[1])
    parquet.write_table(table.drop_columns(['error']), parts[2])
    parts[3].write_bytes(parts[3].read_bytes()[:99])
    parquet.write_table(parquet.read_table(parts[4]).slice(1), parts[4])
    (out / 'parts/part-000018.parquet').write_bytes(b'')
    with pytest.raises(SystemExit) as stop:
        run(project, pairs, '--out', out, '--check')
    said = capsys.readouterr().out.splitlines()
    expected = ['000018.parquet: of no row', '000000.*: missing', '000001.*: [0-9]+ results, which are not the [0-9]+']
    expected += ['000002.*: other columns than', '000003.*: cannot be read', r'000004.*rows 7 to 13 of .*good\.parquet']
    assert stop.value.code == 1 and len(said) == len(expected)
    for line, words in zip(said, expected, strict=True):
        assert re.search(words, line), line


@slow('loads models for 20 s')
def test_a_shard_that_cannot_be_computed_does_not_keep_the_others(
    cluster, project, model_folder, photos, tmp_path, capsys
):
    table = pa.table({'photo': [photo for photo, _ in GOOD], 'text': [sentences for _, sentences in GOOD]})
    path, out = tmp_path / 'a.parquet', tmp_path / 'out'
    parquet.write_table(table, path, row_group_size=25, compression='none', use_dictionary=False)
    content = bytearray(path.read_bytes())
    at = parquet.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    content[at : at + 40] = b'\xff' * 40
    path.write_bytes(content)
    asked = [path, '--data-root', photos, '--model', model_folder, '--out', out, '--shard-rows', 25]
    with pytest.raises(SystemExit) as stop:
        run(project, *asked, '--gpus-per-worker', 0)
    said = str(stop.value.code)
    assert said.startswith('1 of 4 parts could not be written; run again, it goes on:\npart-000002.parquet (rows 50 to')
    assert len(list((out / 'parts').glob('part-*'))) == 3


@slow('loads models for 20 s')
def test_a_cluster_with_another_model_ends_the_run(cluster, project, arguments, tmp_path, monkeypatch):
    prepare = project.prepare

    def other(args):
        shards, model, settings = prepare(args)
        return shards, model, {**settings, 'weights': '0123'}

    monkeypatch.setattr(project, 'prepare', other)
    with pytest.raises(SystemExit) as stop:
        run(project, *arguments, '--out', tmp_path / 'out')
    assert 'differs from where the run was started: weights' in str(stop.value.code)
    assert not list((tmp_path / 'out/parts').iterdir())


# Wrong input: a line, and nothing is started or made


def refused(project, monkeypatch, capsys, *args: object) -> str:
    """What a command says that is refused with status 2."""
    monkeypatch.setattr(project, 'start_ray', None)
    with pytest.raises(SystemExit) as stop:
        run(project, *args)
    said = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2
    return said


@pytest.mark.parametrize(
    'name, content, words',
    [
        ('gone.jsonl', None, 'gone.jsonl: no such file'),
        ('a.csv', 'photo,text', 'a.csv: expected .parquet or .jsonl'),
        ('a.jsonl', '', 'a.jsonl: no row'),
        ('a.jsonl', '\n\n', 'a.jsonl: no row'),
        ('a.jsonl', '{"photo": "a.jpg"}', "first row: expected photo and text, got {'photo': 'a.jpg'}"),
        ('a.jsonl', '[{"photo": "a.jpg", "text": "a"}]', 'first row: expected photo and text'),
        ('a.jsonl', 'photo', 'first row: no JSON'),
        ('a.parquet', 'PAR1', 'a.parquet: not a parquet file'),
        ('a.parquet', {'photo': ['a'], 'n': [1]}, "expected columns photo and text, got ['photo', 'n']"),
        ('a.parquet', {'photo': [b'a'], 'text': ['a']}, 'column photo is binary; expected text'),
        ('a.parquet', {'photo': ['a'], 'text': [1]}, 'column text is int64; expected text, or lists of it'),
        ('a.parquet', {'photo': [['a']], 'text': ['a']}, 'column photo is list<'),
        ('a.parquet', {'photo': [], 'text': []}, 'column photo is null'),
        ('a.parquet', {'photo': pa.array([], pa.string()), 'text': pa.array([], pa.string())}, 'a.parquet: no row'),
    ],
)
def test_input_that_is_wrong(name, content, words, project, monkeypatch, capsys, tmp_path):
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    elif content:
        parquet.write_table(pa.table(content), tmp_path / name)
    said = refused(project, monkeypatch, capsys, tmp_path / name, '--out', tmp_path / 'out')
    assert said.startswith('error: ') and words in said and str(tmp_path / name) in said
    assert not (tmp_path / 'out').exists()


def test_other_options_that_are_wrong(arguments, finished, pairs, project, monkeypatch, capsys, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').write_text('')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/thesis.txt').write_text('')
    out = ['--out', tmp_path / 'out']
    for words, *args in (
        ('no .parquet or .jsonl in this folder', tmp_path / 'empty', *out),
        ('is named twice', pairs, pairs / 'good.parquet', *out),
        ('threshold must be', *arguments, *out, '--threshold', 1),
        ('no-such-model', *arguments, *out, '--model', 'no-such-model'),
        ('no such folder', *arguments, *out, '--data-root', tmp_path / 'gone'),
        ('is a file', *arguments, '--out', tmp_path / 'file'),
        ('is not empty', *arguments, '--out', tmp_path / 'full'),
        ('--workers must be 1 or more', *arguments, *out, '--workers', 0),
        ('other settings: threshold 0.5, now 0.4', *arguments, '--out', finished, '--threshold', 0.4),
        ('other settings: shard_rows 7, now 8', *arguments, '--out', finished, '--shard-rows', 8),
        ('other settings: inputs', pairs / 'good.parquet', *arguments[1:], '--out', finished),
        ('other input than', pairs / 'good.parquet', '--out', finished, '--check'),
        ('no folder with results of ours', pairs, *out, '--check'),
    ):
        said = refused(project, monkeypatch, capsys, *args)
        assert words in said, said
        assert not (tmp_path / 'out').exists()


def test_two_drivers_of_one_folder(finished, arguments, project, monkeypatch, capsys):
    from mgfe_ris.apis.infer.result_folder import lock_folder

    with open(finished / '.lock', 'ab') as file:
        lock_folder(finished, file)
        assert 'another run is writing there' in refused(project, monkeypatch, capsys, *arguments, '--out', finished)


# Shards and workers, without a cluster


@pytest.mark.parametrize('suffix', ['jsonl', 'parquet'])
def test_shards_are_the_rows_in_turn(suffix, project, tmp_path):
    from shards import cut, read_rows

    path = tmp_path / f'a.{suffix}'
    for count, rows, group in (
        (1, 1, 1),
        (20, 3, 7),
        (20, 7, 3),
        (20, 20, 20),
        (20, 50, 6),
        (21, 7, 7),
        (600, 400, 500),
    ):
        texts = [[f's{i}'] * ((i + 1) % 3) or None for i in range(count)]
        if suffix == 'jsonl':
            path.write_text('\n'.join(json.dumps({'text': t, 'photo': f'{i}.jpg'}) for i, t in enumerate(texts)))
        else:
            photos = pa.array([f'{i}.jpg' for i in range(count)]).dictionary_encode()
            parquet.write_table(pa.table({'text': texts, 'photo': photos}), path, row_group_size=group)
        shards, fingerprint = cut([path], rows)
        found = [list(read_rows(shard)) for shard in shards]
        assert [len(part) for part in found] == [min(rows, count - i) for i in range(0, count, rows)]
        assert [(row.number, row.photo, row.sentences) for part in found for row in part] == [
            (i, f'{i}.jpg', t or [None]) for i, t in enumerate(texts)
        ]
        assert cut([path], rows) == (shards, fingerprint)


def test_a_file_that_changes_meanwhile(project, tmp_path):
    from shards import cut, read_rows

    path = tmp_path / 'a.jsonl'
    line = '{"photo": "a.jpg", "text": "a"}\n'
    path.write_text(line * 9)
    shards, fingerprint = cut([path], 5)
    path.write_text(line * 8)
    assert len(list(read_rows(shards[0]))) == 5
    with pytest.raises(ValueError, match='was changed while it was read: row 8 is not there'):
        list(read_rows(shards[1]))
    assert cut([path], 5)[1] != fingerprint


def test_text_in_parquet_that_is_none(project, tmp_path):
    from shards import cut, read_rows

    texts = pa.array([b'a', b'\xff', b'b']).view(pa.string())
    parquet.write_table(pa.table({'photo': ['x'] * 3, 'text': texts}), tmp_path / 'a.parquet')
    ((shard,), _) = cut([tmp_path / 'a.parquet'], 5)
    rows = list(read_rows(shard))
    assert [row.sentences for row in rows] == [['a'], [None], ['b']] and 'no text in UTF-8' in rows[1].error


@pytest.fixture
def worker(project, pairs, photos, model_folder, finished, tmp_path):
    """Makes a worker for the pairs, here."""
    from shard_worker import ShardWorker

    def make(**settings: object) -> ShardWorker:
        same = json.loads((finished / 'settings.json').read_text())
        model = dict(model=model_folder, device='cpu', batch_size=settings.get('batch_size', 16))
        return ShardWorker(str(tmp_path), model, {**same, **settings})

    return make


def test_a_worker_with_another_model_or_without_the_folder(worker, tmp_path):
    with pytest.raises(ValueError, match='differs from where the run was started: weights'):
        worker(weights='0123')
    tmp_path.rmdir()
    with pytest.raises(FileNotFoundError, match='a folder that all machines share'):
        worker()


def test_a_part_is_whole_or_not_there(worker, pairs, tmp_path, monkeypatch):
    """A disk that is full keeps nothing of it; a shard that kills one worker after the other is given up."""
    from dataclasses import asdict

    import shard_worker
    from shards import cut

    shard = asdict(cut([pairs], SHARD_ROWS)[0][4])
    write = parquet.write_table

    def half(table, path, **kwargs):
        Path(path).write_bytes(b'PAR1')
        raise OSError(28, 'No space left on device')

    work = worker()
    monkeypatch.setattr(shard_worker.parquet, 'write_table', half)
    for _ in range(shard_worker.MAX_TRIES):
        with pytest.raises(OSError, match='No space left'):
            work(dict(shard))
        assert os.listdir(tmp_path) == ['.part-000004.parquet.tries']
    monkeypatch.setattr(shard_worker.parquet, 'write_table', write)
    with pytest.raises(RuntimeError, match=r'part-000004\.parquet \(rows 7 to 13 of .*: 4 workers died of it'):
        work(dict(shard))
    (tmp_path / '.part-000004.parquet.tries').unlink()
    assert work(dict(shard)) == {'number': 4} and os.listdir(tmp_path) == ['part-000004.parquet']


def test_more_sentences_than_are_computed_at_once(worker, photos, tmp_path):
    from dataclasses import asdict

    from shards import cut

    sentences = [f'red ring {i}' for i in range(11)]
    (photos / 'one.jsonl').write_text(json.dumps({'photo': '000003.jpg', 'text': sentences}))
    for size in (16, 3):
        worker(batch_size=size)(asdict(cut([photos / 'one.jsonl'], 9)[0][0]))
        rows = parquet.read_table(tmp_path / 'part-000000.parquet').to_pylist()
        assert [row['sentence'] for row in rows] == sentences and all(row['rle'] for row in rows)
        (tmp_path / 'part-000000.parquet').unlink()
