"""What tests of several rivals share."""

import pytest
import torch

import mgfe_ris.models.pixel_decoder


@pytest.fixture
def tables(record, monkeypatch):
    """The tables of positions as the recording machine computed them, in float32, where the last bit may differ."""
    places, order = (record['tables'][name][:, 0] for name in ('decoder_vis_pos', 'decoder_txt_pos'))
    module = mgfe_ris.models.pixel_decoder
    torch.testing.assert_close(module.sine(torch.arange(len(order)), order.shape[1]), order, rtol=0, atol=1e-6)
    height, width = (side // 16 for side in record['config']['image_size'])
    torch.testing.assert_close(module.grid_places(height, width, places.shape[1]), places, rtol=0, atol=1e-6)
    monkeypatch.setattr(module, 'word_places', lambda *_: order)
    monkeypatch.setattr(module, 'grid_places', lambda *_: places)
