"""Checkpoints on disk or behind a URL: read safely, written whole."""

import argparse
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors import safe_open
from safetensors.torch import save_file

from mgfe_ris import checkpoint_files
from mgfe_ris.checkpoint_files import LoggedNumbers, read_checkpoint, require_intact, write_checkpoint

STATE = {
    'a.weight': torch.arange(24.0).reshape(2, 3, 2, 2) / 7,
    'a.half': torch.tensor([1.5, float('nan'), -0.0]).half(),
    'bn.num_batches_tracked': torch.tensor(2**40 + 1),
    'words': torch.tensor([3, 1, 2], dtype=torch.int32),
}
FORMS = ['zip.pth', 'legacy.pth', 'no_suffix', 'whole.safetensors']


def write(path: Path, state: dict) -> Path:
    """As other programs write it."""
    if path.suffix == '.safetensors':
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=not path.name.startswith('legacy'))
    return path


def assert_same_bits(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        other = theirs[name]
        assert (value.dtype, value.shape) == (other.dtype, other.shape), name
        assert value.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes(), name


# Reading


@pytest.mark.parametrize('name', FORMS)
@pytest.mark.parametrize('kind', [str, Path])
def test_every_form_of_file(tmp_path, name, kind):
    assert_same_bits(STATE, read_checkpoint(kind(write(tmp_path / name, STATE))))


def test_what_lies_beside_the_weights_is_not_built(tmp_path):
    """As the official LAVT saves it: the command line is a Namespace."""
    path = tmp_path / 'official.pth'
    torch.save(dict(model=STATE, epoch=39, args=argparse.Namespace(model='lavt', lr=5e-5)), path)
    checkpoint = read_checkpoint(path)
    assert_same_bits(STATE, checkpoint['model'])
    assert checkpoint['epoch'] == 39 and not isinstance(checkpoint['args'], argparse.Namespace)


def test_numbers_of_numpy_and_of_the_log(tmp_path):
    """As mmengine saves them: scores, and what was logged of each step."""
    log = HistoryBuffer([1.5, 2.5], [1, 3])
    mixed = np.array([1, 'x', None], dtype=object)
    scores = [np.float64(0.25), np.float32(-0.5), np.int64(2**40), np.bool_(True), np.uint8(7), np.float64('nan')]
    torch.save(dict(log=log, scores=scores, swapped=np.float64(0.25).astype('>f8'), mixed=mixed), tmp_path / 'x.pth')
    found = read_checkpoint(tmp_path / 'x.pth')
    assert found['scores'][:5] == [0.25, -0.5, 2**40, True, 7] and found['swapped'] == 0.25
    assert [type(score) for score in found['scores']] == [float, float, int, bool, int, float]
    assert isinstance(found['log'], LoggedNumbers)
    assert found['log'].values.tolist() == [1.5, 2.5] and found['log'].counts.tolist() == [1, 3]
    assert not found['mixed'].numbers.size


@pytest.mark.parametrize('name', ['gone.pth', 'gone.safetensors', 'folder.pth'])
def test_a_missing_file(tmp_path, name):
    (tmp_path / 'folder.pth').mkdir()
    with pytest.raises(FileNotFoundError, match='no such checkpoint; expected a local file or an http') as error:
        read_checkpoint(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize('name', FORMS)
@pytest.mark.parametrize('content', [b'', b'<!DOCTYPE html><html>404</html>', 0.5, 0.99])
def test_what_is_no_checkpoint(tmp_path, name, content):
    path = write(tmp_path / name, {**STATE, 'much': torch.zeros(5000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * content)] if isinstance(content, float) else content)
    with pytest.raises(ValueError, match='not a checkpoint that can be read safely: it is no whole file') as error:
        read_checkpoint(path)
    assert str(error.value).startswith(str(path)) and '\n' not in str(error.value)


class Evil:
    def __reduce__(self):
        return os.system, ('touch ran',)


@pytest.mark.parametrize('name', ['zip.pth', 'legacy.pth'])
def test_nothing_is_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / name, dict(model=STATE, note=Evil()))
    with pytest.raises(ValueError, match=r'pth: not a checkpoint .*: it asks for posix\.system$'):
        read_checkpoint(path)
    assert not Path('ran').exists()
    torch.load(path, weights_only=False)
    assert Path('ran').exists(), 'the payload is a dud, and the test with it'


# Over the network


class Server(ThreadingHTTPServer):
    """Gives what is in ``files`` and keeps in ``asked`` what was wanted."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.url = f'http://127.0.0.1:{self.server_port}'
        self.cut = 0

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path.split('?')[0])
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - self.server.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True)
    thread.start()
    yield server
    if server.fileno() != -1:
        server.stop()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """torch's folder of downloads, here."""
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    before = torch.hub._hub_dir
    torch.hub.set_dir(tmp_path / 'hub')
    yield tmp_path / 'hub/checkpoints'
    torch.hub._hub_dir = before


@pytest.mark.parametrize('name', FORMS)
def test_a_file_is_downloaded_once(server, cache, tmp_path, name):
    server.files[f'/some/where/{name}'] = write(tmp_path / name, STATE).read_bytes()
    url = f'{server.url}/some/where/{name}?download=true'
    assert_same_bits(STATE, read_checkpoint(url))
    assert server.asked == [f'/some/where/{name}?download=true'] and len(os.listdir(cache)) == 1
    server.stop()
    assert_same_bits(STATE, read_checkpoint(url))


@pytest.mark.parametrize('name', FORMS)
def test_files_of_one_name_of_two_places(server, cache, tmp_path, name):
    other = {key: value + 1 for key, value in STATE.items()}
    (tmp_path / 'other').mkdir()
    server.files[f'/a/{name}'] = write(tmp_path / name, STATE).read_bytes()
    server.files[f'/b/{name}'] = write(tmp_path / 'other' / name, other).read_bytes()
    for place, state in (('a', STATE), ('b', other), ('a', STATE)):
        assert_same_bits(state, read_checkpoint(f'{server.url}/{place}/{name}'))
    assert len(server.asked) == len(os.listdir(cache)) == 2


@pytest.mark.parametrize('right', [True, False])
def test_the_hash_in_a_files_name(server, cache, tmp_path, right):
    content = write(tmp_path / 'x.pth', STATE).read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:8] if right else 'deadbeef'
    name = f'x_20220317-{digest}.pth'
    server.files[f'/{name}'] = content
    if right:
        assert_same_bits(STATE, read_checkpoint(f'{server.url}/{name}'))
        assert os.listdir(cache) == [name]
    else:
        with pytest.raises(OSError, match=r'hash value.*Download it and name the file instead') as error:
            read_checkpoint(f'{server.url}/{name}')
        assert f'{server.url}/{name}: not to be had' in str(error.value) and not os.listdir(cache)


def test_a_url_that_leads_nowhere(server, cache):
    with pytest.raises(OSError, match=r'gone\.pth: not to be had .*404.*Download it and name the file instead'):
        read_checkpoint(f'{server.url}/gone.pth')
    server.stop()
    with pytest.raises(OSError, match=r'gone\.pth: not to be had .*Download it and name the file instead'):
        read_checkpoint(f'{server.url}/gone.pth')
    assert not os.listdir(cache)


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors'])
def test_a_page_in_place_of_a_file(server, cache, name):
    server.files[f'/{name}'] = b'<html>please log in</html>'
    with pytest.raises(ValueError, match=f'{name}: not a checkpoint that can be read safely'):
        read_checkpoint(f'{server.url}/{name}')


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors'])
def test_a_connection_that_breaks_off(server, cache, tmp_path, name):
    """The next try must not find half a file in the cache."""
    server.files[f'/{name}'] = write(tmp_path / name, {**STATE, 'much': torch.zeros(50000)}).read_bytes()
    server.cut = 100_000
    with pytest.raises((OSError, ValueError), match=name):
        read_checkpoint(f'{server.url}/{name}')
    server.cut = 0
    assert len(read_checkpoint(f'{server.url}/{name}')) == len(STATE) + 1


def test_only_the_main_process_downloads(server, cache, tmp_path, monkeypatch):
    server.files['/x.pth'] = write(tmp_path / 'x.pth', STATE).read_bytes()
    monkeypatch.setattr(checkpoint_files, 'is_main_process', lambda: False)
    with pytest.raises(FileNotFoundError, match=r'x\.pth: no such checkpoint'):
        read_checkpoint(f'{server.url}/x.pth')
    assert not server.asked
    name = f'x.{hashlib.sha256(f"{server.url}/x.pth".encode()).hexdigest()[:8]}.pth'
    monkeypatch.setattr(checkpoint_files, 'barrier', lambda: write(cache / name, STATE))
    cache.mkdir(parents=True)
    assert_same_bits(STATE, read_checkpoint(f'{server.url}/x.pth'))


# Writing


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors', 'no_suffix', 'new/folder/x.safetensors'])
@pytest.mark.parametrize('kind', [str, Path])
def test_written_and_read(tmp_path, name, kind):
    assert write_checkpoint(STATE, kind(tmp_path / name)) == tmp_path / name
    assert_same_bits(STATE, read_checkpoint(tmp_path / name))
    assert os.listdir((tmp_path / name).parent) == [Path(name).name], 'something was left beside it'


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_tensors_that_do_not_lie_in_order(tmp_path, suffix):
    square = torch.arange(12.0).reshape(3, 4)
    state = {
        'turned': square.clone().T,
        'strided': square.clone()[:, ::2],
        'expanded': torch.tensor(1.0).expand(3),
        'channels_last': torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        'upper': square[:1],
        'lower': square[2:],
    }
    assert_same_bits(state, read_checkpoint(write_checkpoint(state, tmp_path / f'x{suffix}')))


def test_safetensors_say_that_they_are_torchs(tmp_path):
    with safe_open(write_checkpoint(STATE, tmp_path / 'x.safetensors'), 'pt') as file:
        assert file.metadata() == {'format': 'pt'}


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors', 'folder'])
def test_what_is_there_stays(tmp_path, name):
    (tmp_path / 'folder').mkdir()
    if name != 'folder':
        (tmp_path / name).write_text('mine')
    with pytest.raises(FileExistsError, match=f'{name} is there already; name another file, or delete it'):
        write_checkpoint(STATE, tmp_path / name)
    assert set(os.listdir(tmp_path)) == {'folder', name}
    assert name == 'folder' or (tmp_path / name).read_text() == 'mine'


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors'])
def test_whole_or_not_at_all(tmp_path, monkeypatch, name):
    def half(_: object, path: str | Path, **__: object) -> None:
        Path(path).write_bytes(b'half')
        assert not (tmp_path / name).exists(), 'half a file under its final name'
        raise OSError('no space left on device')

    monkeypatch.setattr(torch, 'save', half)
    monkeypatch.setattr(checkpoint_files, 'save_file', half)
    with pytest.raises(OSError, match='no space left'):
        write_checkpoint(STATE, tmp_path / name)
    assert not os.listdir(tmp_path)


def test_bytes_that_a_disk_lost_are_found(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(dict(state_dict=dict(a=torch.full((100,), 7, dtype=torch.uint8))), path)
    require_intact(path)
    path.write_bytes(path.read_bytes().replace(b'\x07' * 50, b'\0' * 50, 1))
    assert read_checkpoint(path)['state_dict']['a'][0] == 0, 'torch does not look'
    with pytest.raises(ValueError, match=r'x\.pth: .* was changed since it was written'):
        require_intact(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r'x\.pth: it is no whole file'):
        require_intact(path)
