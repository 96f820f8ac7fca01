"""The source distribution holds what the wheel is built from; the wheel, configs and tools for a project anywhere."""

import os
import subprocess
import sys
import tarfile
import textwrap
import venv
from pathlib import Path

import pytest
from environments import borrow_packages, copy_checkout

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / 'projects' / 'example_project'


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """The source distribution of this checkout, less what a build before has left: setuptools packs that again."""
    folder = tmp_path_factory.mktemp('source')
    checkout = copy_checkout(folder / 'checkout')
    code = f'import setuptools.build_meta as build; build.build_sdist({str(folder)!r})'
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob('mgfe_ris-*.tar.gz'))


@pytest.fixture(scope='module')
def environment(source, tmp_path_factory) -> Path:
    """A fresh environment with our wheel; what the wheel needs comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp('environment')
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
    subprocess.run([*pip, 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '-w', folder, source], check=True)
    venv.create(folder / 'env', with_pip=False)
    python = folder / 'env' / 'bin' / 'python'
    (wheel,) = folder.glob('mgfe_ris-*.whl')
    # a checkout on PYTHONPATH would pass for one that is installed already
    bare = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    install = [*pip, '--python', python, 'install', '--quiet', '--no-deps', '--no-index', wheel]
    subprocess.run(install, check=True, env=bare)
    borrow_packages(folder / 'env')
    return folder / 'env'


def run(environment: Path, cwd: Path, *args: str) -> str:
    done = subprocess.run(
        [environment / 'bin' / 'python', '-W', 'ignore', *map(str, args)],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(cwd), 'OMP_NUM_THREADS': '2'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def files(folder: Path, *patterns: str) -> set[Path]:
    return {path.relative_to(folder) for pattern in patterns for path in folder.rglob(pattern)}


def test_wheel_holds_package_configs_and_tools(environment):
    (package,) = environment.glob('lib/python*/site-packages/mgfe_ris')
    assert files(package / '.mim/configs', '*.py') == files(ROOT / 'configs', '*.py')
    tools = files(ROOT / 'tools', '*.py', 'dist_*.sh', 'slurm_*.sh')
    assert files(package / '.mim/tools', '*.py', '*.sh') == tools
    ours = {path for path in files(package, '*.py', '*.txt', '*.yml') if path.parts[:2] not in MIM}
    assert ours == files(ROOT / 'mgfe_ris', '*.py', '*.txt', '*.yml')


MIM = (('.mim', 'configs'), ('.mim', 'tools'))


def test_the_source_distribution_holds_no_link(source):
    with tarfile.open(source) as file:
        members = file.getmembers()
    assert not [one.name for one in members if one.issym() or one.islnk()]


def test_example_project_runs_outside_the_repository(environment, tmp_path):
    """A stranger's folder: own neck, config by ``_base_ = ['mgfe_ris::...']``, and the tools of the package."""
    for file in EXAMPLE.glob('*.py'):
        (tmp_path / file.name).write_text(file.read_text())
    (tools,) = environment.glob('lib/python*/site-packages/mgfe_ris/.mim/tools')
    config = 'film_tiny_refshapes.py'
    options = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=8']
    options += [
        f'{loader}_dataloader.{key}'
        for loader in ('train', 'val', 'test')
        for key in ('num_workers=0', 'persistent_workers=False')
    ]
    make = [tools / 'dataset_converters' / 'make_refshapes.py', '--out', 'data/refshapes', '--images', 16]
    train = [tools / 'train.py', config, '--work-dir', 'out', '--cfg-options', *options]
    test = [
        tools / 'test.py',
        config,
        'out/epoch_1.pth',
        '--out',
        'tested',
        '--work-dir',
        'work',
        '--cfg-options',
        *options,
    ]
    infer = [tools / 'infer.py', 'data/refshapes/images', '--text', 'the red ring', '--model', 'out', '--out', 'found']
    commands = [list(map(str, words)) for words in (make, train, test, infer)]
    # one process for all, which spares its imports
    code = f"""
        import runpy, sys
        for words in {commands}:
            sys.argv = words
            runpy.run_path(words[0], run_name='__main__')
        import mgfe_ris
        from pathlib import Path
        from mgfe_ris.apis import load_model
        (best,) = Path('out').glob('best_*.pth')
        model = load_model('film_tiny_refshapes.py', str(best))
        print(Path(mgfe_ris.__file__).parent, type(model.neck).__module__, len(model.neck.modulate))
    """
    where, module, stages = run(environment, tmp_path, '-c', textwrap.dedent(code)).split()[-3:]
    assert Path(where).is_relative_to(environment)
    assert (module, stages) == ('film_neck', '4')
    assert (tmp_path / 'tested/metrics.json').is_file() and (tmp_path / 'found/results.jsonl').is_file()
