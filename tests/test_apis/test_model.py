"""From files to a model."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mgfe_ris.apis import build_model, check_checkpoint, load_config, load_model, read_weights

pytestmark = pytest.mark.usefixtures('one_thread')
TINY = Path(__file__).parents[2] / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'


@pytest.fixture(scope='module')
def model(small_model):
    torch.manual_seed(0)
    return load_model(TINY, options=small_model, device='cpu')


@pytest.fixture(scope='module')
def work_dir(model, tmp_path_factory) -> Path:
    """What training leaves: the config and the best checkpoint, with mmengine's records."""
    folder = tmp_path_factory.mktemp('trained')
    model.cfg.dump(folder / TINY.name)
    torch.save(checkpoint_of(model), folder / 'best_oIoU_epoch_2.pth')
    return folder


def checkpoint_of(model) -> dict:
    history = HistoryBuffer([1.0, 0.5], [1, 1])
    hub = dict(log_scalars=OrderedDict({'train/loss': history}), runtime_info=OrderedDict(eta=np.float64(0), epoch=1))
    meta = dict(epoch=2, iter=14, cfg=model.cfg.pretty_text, dataset_meta=dict(classes=('background', 'target')))
    return dict(meta=meta, state_dict=OrderedDict(model.state_dict()), message_hub=hub, x=np.arange(3))


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


# Loading


def test_a_config_and_a_checkpoint(model, work_dir, small_model):
    loaded = load_model(TINY, work_dir / 'best_oIoU_epoch_2.pth', 'cpu', small_model)
    assert same_weights(loaded, model) and not loaded.training
    assert loaded.cfg.model.decode_head.hidden == 16
    assert not same_weights(load_model(TINY, options=small_model, device='cpu'), model)


def test_a_folder_that_training_wrote(model, work_dir):
    assert same_weights(load_model(work_dir), model)
    assert same_weights(load_model(str(work_dir), work_dir / 'best_oIoU_epoch_2.pth'), model)


def test_a_folder_may_hold_a_model_of_any_size(model_folder, monkeypatch):
    """Its weights say how large it may be; the limit of those without is another one."""
    monkeypatch.setattr('mgfe_ris.models.size_limit._MOST', 1000)
    assert load_model(model_folder)
    with pytest.raises(ValueError, match='describes a model of more than 1,000 numbers'):
        build_model(load_config(model_folder / 'config.json'))


def test_a_bare_state_dict(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    state = read_weights(tmp_path / 'weights.pth')
    assert state.keys() == model.state_dict().keys()


def test_folders_that_are_not_enough(work_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'expected one file best_\*\.pth, found \[\]') as error:
        load_model(tmp_path)
    assert str(tmp_path) in str(error.value)
    for name in ('best_mIoU_epoch_1.pth', 'best_oIoU_epoch_2.pth'):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r'epoch_1\.pth.*epoch_2\.pth.*name the one you mean'):
        load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'expected one file \*\.py, found \[\]'):
        load_model(tmp_path, work_dir / 'best_oIoU_epoch_2.pth')


@pytest.mark.parametrize('config', [TINY, 'nowhere'])
def test_a_missing_checkpoint_is_named(tmp_path, config):
    with pytest.raises(FileNotFoundError, match=r'gone\.pth: no such checkpoint'):
        load_model(config, tmp_path / 'gone.pth')


def test_a_checkpoint_of_another_model(model, work_dir, tmp_path, small_model):
    path = work_dir / 'best_oIoU_epoch_2.pth'
    wider = {**small_model, 'model.decode_head.hidden': 24}
    with pytest.raises(ValueError, match=r'does not fit the model of the config: \d+ differences, first .*decode_head'):
        load_model(TINY, path, 'cpu', wider)

    state = dict(model.state_dict())
    state['extra.weight'] = torch.zeros(1)
    del state['decode_head.classify.bias']
    state['decode_head.classify.weight'] = torch.zeros(3, 16, 1, 1)
    torch.save(dict(state_dict=state), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='3 differences') as error:
        check_checkpoint(model, tmp_path / 'other.pth')
    text = str(error.value)
    assert str(tmp_path / 'other.pth') in text and 'Use the config that the checkpoint was trained with' in text
    assert 'decode_head.classify.bias is missing' in text and 'extra.weight is not in the model' in text
    assert 'decode_head.classify.weight is (3, 16, 1, 1), the model has (2, 16, 1, 1)' in text


def test_a_start_needs_a_name_in_common(model, tmp_path):
    torch.save({'other.weight': torch.zeros(1)}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'no name in common, other\.weight for one'):
        check_checkpoint(model, tmp_path / 'other.pth', whole=False)


def test_configs_of_no_model(tmp_path):
    (tmp_path / 'data.py').write_text('x = 1')
    with pytest.raises(ValueError, match=r'data\.py: no config of a model'):
        load_model(tmp_path / 'data.py')
    (tmp_path / 'typo.py').write_text("model = dict(type='ReferringSegmentr')")
    with pytest.raises(ValueError, match=r'typo\.py: ReferringSegmentr is not in the .* registry'):
        load_model(tmp_path / 'typo.py')


@pytest.mark.parametrize('device', ['cuda', 'cuda:1', torch.device('cuda')])
def test_cuda_where_there_is_none(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=r'device cuda(:1)?: this machine or this build of torch has no CUDA; use cpu'):
        load_model(TINY, device=device)


def test_an_unknown_device():
    with pytest.raises(ValueError, match="device 'gpu': expected cpu, cuda"):
        load_model(TINY, device='gpu')


# Checkpoints that would run something


class Call:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('kind', ['os.system', 'eval', 'in the state dict', 'bare pickle', 'protocol 4'])
def test_nothing_in_a_checkpoint_is_run(model, work_dir, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    evil = Call(eval, 'open("ran", "w").close()') if kind == 'eval' else Call(os.system, 'touch ran')
    checkpoint = checkpoint_of(model)
    if kind == 'in the state dict':
        checkpoint['state_dict']['decode_head.classify.bias'] = evil
    else:
        checkpoint['meta']['note'] = evil
    path = tmp_path / 'evil.pth'
    if kind == 'bare pickle':
        path.write_bytes(pickle.dumps(dict(evil=evil), 2))
    else:
        torch.save(checkpoint, path, pickle_protocol=4 if kind == 'protocol 4' else 2)
    with pytest.raises(ValueError, match=r'evil\.pth: not a checkpoint that can be read safely: it ') as error:
        load_model(work_dir, path)
    assert not Path('ran').exists()
    assert '\n' not in str(error.value) and 'weights_only' not in str(error.value)
    if kind in ('os.system', 'eval'):
        assert 'it asks for posix.system' in str(error.value) or 'it asks for eval' in str(error.value)
    if kind != 'bare pickle':
        torch.load(path, weights_only=False)
        assert Path('ran').exists(), 'the payload is a dud, and the test with it'


@pytest.mark.parametrize(
    ('owner', 'name'),
    [(torch._utils._rebuild_tensor_v2, '__globals__'), (HistoryBuffer, '__init__'), (torch.Tensor, 'mean')],
)
def test_getattr_gives_nothing_away(model, tmp_path, owner, name):
    """mmengine's own list of safe functions holds getattr, from which everything else can be reached."""
    path = tmp_path / 'evil.pth'
    torch.save(dict(checkpoint_of(model), note=Call(getattr, owner, name)), path)
    with pytest.raises(ValueError, match=r'evil\.pth: not a checkpoint that can be read safely: it asks for'):
        read_weights(path)


@pytest.mark.parametrize('content', [b'', b'<html>404</html>', b'PK\x03\x04 broken', None])
def test_what_is_no_checkpoint(work_dir, tmp_path, content):
    path = tmp_path / 'broken.pth'
    whole = (work_dir / 'best_oIoU_epoch_2.pth').read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=r'broken\.pth: not a checkpoint .*: it is no whole file of torch\.save'):
        read_weights(path)


@pytest.mark.parametrize('content', [[1, 2], dict(state_dict=[1]), dict(model=dict(a=1)), torch.ones(2)])
def test_files_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth: expected a state dict, or a dict with one under "state_dict"'):
        read_weights(tmp_path / 'other.pth')
