"""What the README tells a user to type: the how-tos are run as they stand, every other command is read by its tool."""

import json
import os
import re
import runpy
import shlex
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import torch
from needs import exact_export
from PIL import Image

REPO = Path(__file__).parents[1]
README = (REPO / 'README.md').read_text(encoding='utf-8')
RIVAL = (REPO / 'docs/add_a_rival.md').read_text(encoding='utf-8')
PHOTO = Path('data/try/images/refshapes/000003.jpg')


def section(title: str, text: str = README) -> str:
    """From its heading to the next one of its level or above."""
    level = title.split(' ', 1)[0]
    found = re.search(rf'(?ms)^{re.escape(title)}$.*?(?=^#{{1,{len(level)}}} |\Z)', text)
    assert found, title
    return found[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf'(?ms)^```{language}\n(.*?)^```$', text)


def commands(text: str) -> list[list[str]]:
    """The words of each line in its bash blocks."""
    joined = '\n'.join(blocks(text, 'bash')).replace('\\\n', '')
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


HOW_TOS = re.findall(r'(?m)^### .*$', section('## Masks for your own photos'))


@pytest.fixture(scope='module')
def after_the_quickstart(small_model, tmp_path_factory) -> Path:
    """A folder as the quickstart leaves it, with a smaller model, and the photos to try."""
    from mgfe_ris.apis import load_model, save_folder

    root = tmp_path_factory.mktemp('clone')
    for name in ('tools', 'projects'):
        (root / name).symlink_to(REPO / name)
    (root / 'list.csv').write_text(blocks(section('### On the command line'), 'csv')[0])
    save_folder(load_model('mgfe-ris_tiny_refshapes', options=small_model, device='cpu'), root / 'work_dirs/quickstart')
    (words, *_) = commands(section('## Masks for your own photos'))
    subprocess.run([sys.executable, '-W', 'ignore', *words[1:]], cwd=root, check=True, stdout=subprocess.DEVNULL)
    assert (root / PHOTO).is_file()
    return root


@pytest.fixture
def here(after_the_quickstart, monkeypatch, one_thread) -> Path:
    monkeypatch.chdir(after_the_quickstart)
    return after_the_quickstart


def run_tool(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which saves ten seconds of imports."""
    assert words[0] == 'python', words
    monkeypatch.setattr(sys, 'argv', words[1:])
    runpy.run_path(words[1], run_name='__main__')


def test_there_is_a_how_to_for_each():
    titles = ['In Python', 'On the command line', 'As a web page', 'Without PyTorch: ONNX', 'To hand on']
    assert titles == [title.removeprefix('### ') for title in HOW_TOS]


@pytest.mark.parametrize('title', HOW_TOS)
def test_a_how_to_has_a_picture_that_is_there(title):
    pictures = re.findall(r'!\[.+?\]\((.+?)\)', section(title))
    assert pictures
    for picture in pictures:
        with Image.open(REPO / picture) as image:
            image.load()


def test_in_python(here):
    (code,) = blocks(section('### In Python'), 'python')
    names: dict = {}
    exec(code, names)
    saved = [f'000003_the-purple-triangle_{kind}.png' for kind in ('mask', 'overlay')]
    assert sorted(path.name for path in Path('found').iterdir()) == saved and all(name in code for name in saved)
    np.testing.assert_array_equal(np.asarray(Image.open(f'found/{saved[0]}')), 255 * names['result'].mask)
    assert [[r.sentence for r in results] for results in (names['triangles'], names['others'])] == [
        ['the green triangle', 'the white triangle'],
        ['the red moon', 'the yellow shape'],
    ]


def test_what_replaces_the_calls_of_mmseg(here):
    (code,) = blocks(section('### Original OpenMMLab packages'), 'python')
    names: dict = {}
    exec(code, names)
    assert names['result'].mask.shape == (320, 320) and names['inferencer'].model is names['model']


def test_on_the_command_line(here, monkeypatch):
    typed = commands(section('### On the command line'))
    for words in typed:
        run_tool(words, monkeypatch)
    for words, lines in zip(typed, (2, 12, 2), strict=True):
        out = Path(words[words.index('--out') + 1])
        assert len((out / 'results.jsonl').read_text().splitlines()) == lines
        assert len(list((out / 'masks').iterdir())) == len(list((out / 'overlays').iterdir())) == lines


def test_as_a_web_page(here):
    pytest.importorskip('gradio', reason='the web page needs: pip install -r projects/web_demo/requirements.txt')
    install, start = commands(section('### As a web page'))
    assert install[:3] == ['pip', 'install', '-r'] and Path(install[3]).is_file()
    assert start[0] == 'python'
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        port = one.getsockname()[1]
    command = [sys.executable, '-W', 'ignore', *start[1:], '--port', str(port)]
    environment = {**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            page = wait_for(f'http://127.0.0.1:{port}', server)
        finally:
            server.terminate()
    assert '<html' in page


def wait_for(address: str, server: subprocess.Popen) -> str:
    for _ in range(240):
        assert server.poll() is None, server.stdout.read().decode()
        try:
            with urlopen(address, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f'{address} does not answer')


@exact_export
def test_as_onnx(here, monkeypatch):
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name, reason='export needs: pip install -r tools/deployment/requirements.txt')
    # half of the time is torch's optimizer of graphs, which test_onnx.py runs
    monkeypatch.setattr('torch.onnx.export', partial(torch.onnx.export, optimize=False))
    install, *typed = commands(section('### Without PyTorch: ONNX'))
    assert install[:3] == ['pip', 'install', '-r'] and Path(install[3]).is_file()
    for words in typed:
        run_tool(words, monkeypatch)
    assert Path('exported/model.onnx').is_file() and Path('found/onnx/masks/000003.png').is_file()


def test_to_hand_on(here, monkeypatch, refshapes):
    from mgfe_ris.apis import RISInferencer

    (here / 'data/refshapes').symlink_to(refshapes)
    for words in commands(section('### To hand on')):
        run_tool(words, monkeypatch)
    ours, theirs = (RISInferencer(folder)(PHOTO, 'the ring') for folder in ('work_dirs/quickstart', 'my-model'))
    np.testing.assert_array_equal(ours.score, theirs.score)
    measured = json.loads(Path('tested/metrics.json').read_text())['metrics']
    assert f'| testA | {measured["testA/oIoU"]:.2f} |' in Path('my-model/README.md').read_text()


# Everything else


def test_a_model_of_another_shape(tmp_path, monkeypatch, one_thread, refshapes):
    """The files on the page are a project, and what it says of them is run: a training, a test, masks, a count."""
    files = dict(re.findall(r'(?ms)^\*\*`(\S+\.py)`\*\*\n\n```python\n(.*?)^```$', RIVAL))
    assert [*files] == ['glance.py', 'glance_tiny_refshapes.py']
    monkeypatch.chdir(tmp_path)
    Path('tools').symlink_to(REPO / 'tools')
    Path('data').mkdir()
    Path('data/refshapes').symlink_to(refshapes)
    Path('projects/glance').mkdir(parents=True)
    for name, text in files.items():
        Path('projects/glance', name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / 'projects/glance')
    _, _, train, test, infer, flops, *_ = commands(section('## Train, test, use', RIVAL))
    alone = [f'{kind}_dataloader.num_workers=0' for kind in ('train', 'val', 'test')]
    short = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=64', 'visualizer.vis_backends=[]']
    run_tool([*train, '--cfg-options', *alone, *short], monkeypatch)
    (best,) = Path('work_dirs/glance_tiny_refshapes').glob('best_*.pth')
    one_split = ['test_cfg.splits=("val",)', 'test_cfg.shuffled=()']
    run_tool([*(str(best) if '*' in word else word for word in test), '--cfg-options', *alone, *one_split], monkeypatch)
    assert Path('results/metrics.json').is_file()
    Image.new('RGB', (80, 50)).save('photo.jpg')
    run_tool(infer, monkeypatch)
    assert Image.open('found/masks/photo.png').size == (80, 50)
    run_tool(flops, monkeypatch)


def test_a_model_of_points_by_the_page(tmp_path):
    from mmengine.config import Config

    from mgfe_ris.apis import RISInferencer, build_model, load_config
    from mgfe_ris.evaluation.protocols import read_protocols, require_no_threshold

    page = section('## Points in the place of logits', RIVAL)
    (code,) = blocks(page, 'python')
    exec(compile(code, 'docs/add_a_rival.md', 'exec'), dict(__name__='outline'))
    bert = dict(model_type='bert', hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=420)
    cfg = load_config('mgfe-ris_tiny_refshapes')
    cfg.model = dict(
        type='Outline',
        data_preprocessor=cfg.model.data_preprocessor,
        text_encoder=dict(type='HFTextEncoder', config=bert, sentence='mean'),
    )
    result = RISInferencer(build_model(cfg))(np.zeros((50, 80, 3), np.uint8), 'the red ring')
    assert result.score is None and result.mask.shape == (50, 80)
    # what it says of the data set's protocols
    (line,) = re.findall(r'(?m)^test_evaluator = .*$', page)
    (tmp_path / 'outline.py').write_text(f"_base_ = ['mgfe_ris::_base_/datasets/letterbox_refshapes.py']\n{line}\n")
    protocols = read_protocols(Config.fromfile(tmp_path / 'outline.py').test_evaluator.protocols)
    assert protocols.keys() == {'own', 'common_photo', 'common_64'} and protocols['common_64'].size == (64, 64)
    require_no_threshold(protocols)


def of_tools(page: Path) -> list[list[str]]:
    """The commands of its tools, without the settings ahead of them; what test_photos.sh starts gets its --out."""
    found = []
    for words in commands(page.read_text(encoding='utf-8')):
        tool = words[words.index('python') :] if 'python' in words else []
        if len(tool) > 1 and tool[1].startswith(('tools/', 'projects/')):
            found.append(tool + ['--out', 'OUT'] * (words[0] == '$test'))
    return found


PAGES = [
    *(REPO / f'docs/{name}.md' for name in ('data', 'add_a_rival', 'parts', 'photos', 'speed', 'cuda')),
    *(REPO / name for name in ('README.md', 'tools/deployment/README.md')),
]
TOOLS = [words for page in PAGES for words in of_tools(page)]


@pytest.mark.parametrize('words', TOOLS, ids=lambda words: Path(words[1]).stem)
def test_a_tool_reads_what_the_readme_says(words, monkeypatch):
    # [--resume] says that an option may be left away
    monkeypatch.setattr(sys, 'argv', [word.strip('[]') for word in words[1:] if word != '...]'])
    args = runpy.run_path(str(REPO / words[1]), run_name='read')['parse_args']()
    assert vars(args)


def test_commands_are_found():
    assert len(TOOLS) > 20 and all(map(of_tools, PAGES))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_scripts_of_a_page_are_there(page):
    text = '\n'.join(blocks(page.read_text(encoding='utf-8'), 'bash'))
    scripts = re.findall(r'bash ((?:tools|projects)/\S+\.sh)', text)
    assert all((REPO / script).is_file() for script in scripts), scripts
