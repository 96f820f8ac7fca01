"""Settings of all tests."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read when transformers is first imported, which is why it stands here: no test waits for the network
os.environ['HF_HUB_OFFLINE'] = '1'

# Workers share the cores. Read when torch is first imported, and by the commands that tests start
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')

REPO = Path(__file__).parents[1]


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indexes of the tests' data go with the tests; commands that they start see it, too."""
    folder = tmp_path_factory.mktemp('cache')
    os.environ['MGFE_RIS_CACHE'] = str(folder)
    return folder


@pytest.fixture(scope='session', autouse=True)
def unformatted() -> None:
    """mmengine lays a config out as Python whenever it is logged, written or saved with weights: a third of a second
    each time, of which a short training has several. Forks inherit this, commands that tests start do not."""
    import yapf.yapflib.yapf_api

    yapf.yapflib.yapf_api.FormatCode = lambda text, **_: (text, True)


@pytest.fixture(scope='session', autouse=True)
def any_order() -> None:
    """What tests that fork and tests that send signals rely on, whatever ran before them, and whoever started them."""
    import torch

    # The first backward pass starts a thread for each device. After any FakeTensorMode (torch.export, torch.compile)
    # it takes a device for there that is not, and no fork could train
    torch.ones(1, requires_grad=True).sum().backward()
    # ignored in what a shell starts in the background, or nohup
    for name, usual in (('SIGINT', signal.default_int_handler), ('SIGHUP', signal.SIG_DFL)):
        if signal.getsignal(number := getattr(signal, name, signal.SIGINT)) == signal.SIG_IGN:  # Windows has no SIGHUP
            signal.signal(number, usual)


@pytest.fixture(autouse=True)
def tiny_numbers() -> Iterator[None]:
    """Tools that run in the tests' own process set them to 0, for good."""
    import torch

    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope='session')
def shared() -> Path:
    """The folder beside the repository with real photos and recorded numbers."""
    folder = REPO.parent / 'shared'
    if not folder.is_dir():
        pytest.skip(f'{folder} is not there: real photos and recorded numbers')
    return folder


def data_of(shared: Path, name: str) -> Path:
    """Of the real photos one folder, which may be missing."""
    folder = shared / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'{folder} is not there: photos and sentences that are not ours to publish')
    return folder


@pytest.fixture(scope='session')
def coco_ref(shared: Path) -> Path:
    """Real photos in RefCOCO's form."""
    return data_of(shared, 'coco_ref')


@pytest.fixture(scope='session')
def coco_pool(shared: Path) -> Path:
    """481 real photos in RefCOCO's form, with sentences that templates made."""
    return data_of(shared, 'coco_pool')


@pytest.fixture(scope='session')
def refcoco_mini(shared: Path) -> Path:
    """Sentences by people, of the three published sets."""
    return data_of(shared, 'refcoco_mini')


@pytest.fixture(scope='session')
def refshapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with 40 drawn photos of 64 x 64."""
    from mgfe_ris.datasets.synthetic import write_refshapes

    root = tmp_path_factory.mktemp('data')
    write_refshapes(root, 'refshapes', images=40, seed=0, size=64, progress=False)
    return root


@pytest.fixture(scope='session')
def small_model() -> dict:
    """Options that make a tiny config 20 times smaller still."""
    from mgfe_ris.apis.experiments.small_models import SMALLER_TINY

    return SMALLER_TINY


@pytest.fixture(scope='session')
def small_swin() -> dict:
    """Options that leave of a config with Swin-B and BERT what a test has time for; the windows of 12 stay."""
    from mgfe_ris.apis.experiments.small_models import SMALL_SWIN

    return SMALL_SWIN


@pytest.fixture(scope='session')
def model_folder(small_model: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, as ``save_folder`` writes it; its masks are neither empty nor full.

    Its weights make much of rounding: what is computed in another order shows in its masks.
    """
    import torch

    from mgfe_ris.apis import build_model, load_config, save_folder

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(load_config('mgfe-ris_tiny_refshapes', small_model)).eval()
        for value in model.parameters():
            value.data.uniform_(-0.5, 0.5)
        ids, words = model.data_preprocessor.tokenizer(['red ring'])
        logits = model.segment(torch.randn(1, 3, 64, 64), ids, words).detach()[0]
        model.decode_head.classify.bias.data[1] += (logits[0] - logits[1]).median()
    return save_folder(model, tmp_path_factory.mktemp('model') / 'small')


@pytest.fixture(scope='session')
def clip_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the form and of the size of CLIP's own, of which two pairs merge letters: "red" is one token."""
    import gzip

    from mgfe_ris.models.encoders.clip_vocabulary import FILE, MERGES

    letters = [*map(chr, range(174, 324)), *map(chr, range(161, 173)), *map(chr, range(33, 127))]
    filler = [(a, b) for a in letters[:200] for b in letters]
    pairs = [('r', 'e'), ('re', 'd</w>'), *filler][:MERGES]
    file = tmp_path_factory.mktemp('clip') / FILE
    file.write_bytes(gzip.compress('\n'.join(['#version: 0.2', *map(' '.join, pairs)]).encode()))
    return file


@pytest.fixture(scope='module')
def one_thread() -> Iterator[None]:
    """Several threads wait for one another on a busy machine, which makes a small model many times slower.

    For a whole file: what its fixtures compute must have the bits of what its tests do.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
