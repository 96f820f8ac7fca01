"""TorchScript archives read as data: equal to torch's own reading, and nothing of them is run."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from mgfe_ris.checkpoint_files import read_checkpoint


class Net(nn.Module):
    """Halves, a transposed view, a buffer, a list, and a module inside of another."""

    def __init__(self):
        super().__init__()
        self.visual = nn.Sequential(nn.Conv2d(3, 2, 1).half(), nn.BatchNorm2d(2))
        self.projection = nn.Parameter(torch.randn(3, 4).t())
        self.register_buffer('resolution', torch.tensor(224))
        self.sizes = [1, 2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.visual(x)


@pytest.fixture
def archive(tmp_path) -> Path:
    torch.jit.script(Net()).save(tmp_path / 'RN.pt')
    return tmp_path / 'RN.pt'


def changed(archive: Path, name: str, data: bytes) -> Path:
    """A copy in which one member is another."""
    copy = archive.with_name('changed.pt')
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(copy, 'w') as new:
        for member in old.namelist():
            new.writestr(member, data if member.endswith(name) else old.read(member))
    return copy


def test_it_holds_what_torch_reads(archive):
    ours, theirs = read_checkpoint(archive), torch.jit.load(archive).state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=0)
    assert ours['visual.0.weight'].dtype == torch.float16


def test_its_program_is_not_read(archive):
    """Not even compiled: it may be anything."""
    expected = read_checkpoint(archive)
    copy = changed(archive, '/code/__torch__.py', b'this is no program')
    assert read_checkpoint(copy).keys() == expected.keys()


@pytest.mark.parametrize('name', ['os.system', 'builtins.eval', 'torch.load', 'torch.jit._pickle.restore_type_tag'])
def test_other_functions_are_refused(archive, name, tmp_path):
    module, function = name.rsplit('.', 1)
    hostile = f'c{module}\n{function}\n(S"touch {tmp_path}/ran"\ntR.'.encode()
    with pytest.raises(ValueError, match=f'asks for {name}'):
        read_checkpoint(changed(archive, '/data.pkl', hostile))
    assert not (tmp_path / 'ran').exists()


def test_numbers_beyond_the_file_are_refused(archive):
    with zipfile.ZipFile(archive) as whole:
        name = next(one for one in whole.namelist() if '/data/' in one)
    with pytest.raises(ValueError, match=r'bytes, not \d+ numbers'):
        read_checkpoint(changed(archive, name, b'1234567'))


def test_a_tensor_outside_of_its_numbers_is_refused():
    from mgfe_ris.torchscript_files import _tensor

    for size, stride, offset in [((3,), (1,), 2), ((2,), (4,), 0), ((2,), (-1,), 1), ((1,), (1,), -1)]:
        with pytest.raises(ValueError, match='is not in its 4 numbers'):
            _tensor(torch.arange(4), offset, size, stride)
    assert _tensor(torch.arange(4), 1, (3,), (1,)).tolist() == [1, 2, 3]


def test_a_broken_archive_is_one_line(archive, tmp_path):
    half = tmp_path / 'half.pt'
    half.write_bytes(archive.read_bytes()[:500])
    with pytest.raises(ValueError, match='not a checkpoint that can be read safely'):
        read_checkpoint(half)
    with pytest.raises(ValueError, match='not a checkpoint that can be read safely'):
        read_checkpoint(changed(archive, '/data.pkl', pickle.dumps([1])))
