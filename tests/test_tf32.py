"""What of float32 is shortened on a GPU: set, as the config says, and recorded."""

import pytest
import torch

from mgfe_ris.apis import load_config
from mgfe_ris.profiling.machine import describe_machine
from mgfe_ris.tf32 import set_tf32, tf32_in_use


@pytest.fixture(autouse=True)
def as_before():
    before = tf32_in_use()
    yield
    set_tf32(**before)


@pytest.mark.parametrize(('kinds', 'said'), [((), 'none'), (('conv',), 'conv'), (('matmul', 'conv'), 'matmul, conv')])
def test_it_is_set_and_recorded(monkeypatch, kinds, said):
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'a GPU')
    set_tf32(**{kind: kind in kinds for kind in ('matmul', 'conv')})
    assert tf32_in_use() == dict(matmul='matmul' in kinds, conv='conv' in kinds)
    assert torch.get_float32_matmul_precision() == ('high' if 'matmul' in kinds else 'highest')
    assert describe_machine(torch.device('cuda'))['tf32'] == said


def test_the_configs_say_what_holds_by_default():
    cfg = load_config('mgfe-ris_tiny_refshapes', {'env_cfg.tf32.matmul': True})
    assert cfg.env_cfg.tf32 == dict(matmul=True, conv=True)
    assert load_config('mgfe-ris_tiny_refshapes').env_cfg.tf32 == dict(matmul=False, conv=True)
    set_tf32()
    assert tf32_in_use() == dict(matmul=False, conv=True)
