"""DarkNet-53 as an encoder, and the files of the program of this name."""

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mgfe_ris.models.encoders import DarkNetEncoder
from mgfe_ris.models.encoders.darknet_weights import read_darknet

SMALL = dict(widths=(2, 4, 4, 8, 8, 16), depths=(1, 1, 2, 1, 1))


def test_maps_of_four_strides():
    """With what language makes of one added before the next."""
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type='mmseg.DarkNetEncoder', **SMALL)).eval()
    photo = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        maps = encoder(photo)
        assert [tuple(x.shape) for x in maps] == [(2, 4, 16, 24), (2, 8, 8, 12), (2, 8, 4, 6), (2, 16, 2, 3)]
        assert encoder.out_channels == (4, 8, 8, 16)
        fused = encoder(photo, lambda i, x: (10 * x, torch.full_like(x, float(i == 1))))
    torch.testing.assert_close(fused[1], 10 * maps[1])
    assert not torch.allclose(fused[2], 10 * maps[2])


def test_only_the_last_two_convolutions_are_trained_but_all_statistics_move():
    encoder = DarkNetEncoder(**SMALL, frozen=12).train()
    trained = {name.rsplit('.', 2)[0] for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained == {'layers.12', 'layers.13'}
    before = encoder.layers[0].bn.running_mean.clone()
    encoder(torch.rand(2, 3, 32, 32))
    assert not torch.equal(encoder.layers[0].bn.running_mean, before)


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match=r'encoder\.widths: expected one more than encoder\.depths'):
        DarkNetEncoder(**{**SMALL, 'depths': (1, 1)})


@pytest.mark.parametrize('version', [1, 2])
def test_files_of_darknet(tmp_path, version):
    """Numbers that count up land in the norm and the kernel of the first convolution, and so on; more are not read."""
    encoder = DarkNetEncoder(**SMALL)
    count = sum(value.numel() for name, value in encoder.state_dict().items() if 'num_batches' not in name)
    path = tmp_path / 'small.weights'
    seen = np.int64(7) if version == 2 else np.int32(7)
    numbers = np.arange(count + 5, dtype=np.float32)
    path.write_bytes(np.array([0, version, 0], np.int32).tobytes() + seen.tobytes() + numbers.tobytes())
    encoder.init_cfg = dict(type='Pretrained', checkpoint=str(path))
    encoder.init_weights()
    conv, norm = encoder.layers[0].conv, encoder.layers[0].bn
    found = [*norm.bias, *norm.weight, *norm.running_mean, *norm.running_var, *conv.weight.flatten()]
    assert [value.item() for value in found] == list(range(8 + 2 * 3 * 9))
    assert encoder.layers[1].bn.bias[0] == 8 + 2 * 3 * 9
    assert encoder.layers[13].conv.weight.flatten()[-1] == count - 1


def test_other_files_are_refused(tmp_path):
    encoder, path = DarkNetEncoder(**SMALL), tmp_path / 'x.weights'
    with pytest.raises(FileNotFoundError, match=r'x\.weights: no such file; name a file of Darknet'):
        read_darknet(encoder, path)
    path.write_bytes(b'abc')
    with pytest.raises(ValueError, match=r'has 0 weights, the encoder \d+: is it a file of another network'):
        read_darknet(encoder, path)
    path.write_bytes(np.array([0, 2, 0, 0, 0, 1, 1], np.int32).tobytes())
    with pytest.raises(ValueError, match=r'has 2 weights, the encoder \d+'):
        read_darknet(encoder, path)
