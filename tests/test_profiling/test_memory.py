"""The traced memory of a training step: by hand for small modules, and the limits for Swin-B."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from needs import gpu_tracing
from slow import slow
from torch import nn
from torch.torch_version import TorchVersion
from torch.utils.checkpoint import checkpoint

from mgfe_ris.apis import build_model, load_config
from mgfe_ris.models.encoders.window_attention import FusedWindowAttention
from mgfe_ris.models.shapes_only import build_shapes
from mgfe_ris.profiling import Memory, trace_memory
from mgfe_ris.profiling.memory import GIB, trace_step

pytestmark = gpu_tracing
CONFIGS = ('lavt_swin-base_refcoco', 'mgfe-ris_swin-base_refcoco')


def trace(config: str, options: dict | None = None, **setting) -> Memory:
    cfg = load_config(config, options, from_scratch=True)
    return trace_memory(build_shapes(lambda: build_model(cfg)), **setting)


class TwoLayers(nn.Module):
    def __init__(self, checkpointed: bool = False):
        super().__init__()
        self.checkpointed = checkpointed
        self.layers = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
        self.layers[2].bias.requires_grad_(False)

    def loss(self, make, rows: int = 4096) -> torch.Tensor:
        x = make(torch.zeros, rows, 64, requires_grad=True)
        return (checkpoint(self.layers, x, use_reentrant=True) if self.checkpointed else self.layers(x)).sum()


def test_two_layers_by_hand():
    model = TwoLayers()
    memory = trace_step(model, model.loss)
    trained, x, hidden = 4 * (64 * 256 + 256 + 256 * 64), 4 * 4096 * 64, 4 * 4096 * 256
    assert memory.weights * GIB == trained + 4 * 64
    assert memory.gradients * GIB == trained
    assert memory.optimizer * GIB == 2 * trained
    assert memory.activations * GIB == x + hidden
    assert [(k.module, k.shape, k.dtype) for k in memory.kept] == [
        ('layers.1', (4096, 256), torch.float32),
        ('layers.0', (4096, 64), torch.float32),
    ]
    # after the ReLU in the backward pass: what was kept, and the gradients at both sides of it
    peak = 3 * trained + x + 3 * hidden + 4 * 256 * 64
    assert memory.peak * GIB == pytest.approx(peak, abs=4096)


def test_autocast_keeps_half_and_copies_of_the_weights():
    model = TwoLayers()
    memory = trace_step(model, model.loss, 'bf16')
    assert memory.activations * GIB == 2 * 4096 * (64 + 256) + 2 * (64 * 256 + 256 * 64)
    assert {k.dtype for k in memory.kept} == {torch.bfloat16}


@pytest.mark.parametrize('amp', [None, 'bf16'])
def test_a_checkpoint_keeps_its_input_and_computes_the_rest_again(amp):
    plain, checkpointed = TwoLayers(), TwoLayers(checkpointed=True)
    memory = trace_step(checkpointed, checkpointed.loss, amp)
    assert memory.activations * GIB == 4 * 4096 * 64
    assert memory.peak == pytest.approx(trace_step(plain, plain.loss, amp).peak, rel=0.35)


class Attention(nn.Module):
    def __init__(self, rows: bool, mask: str | None = None):
        super().__init__()
        self.rows, self.mask = rows, mask
        self.qkv = nn.Linear(64, 192)

    def loss(self, make) -> torch.Tensor:
        q, k, v = self.qkv(make(torch.zeros, 2, 500, 64)).unflatten(-1, (3, 2, 32)).permute(2, 0, 3, 1, 4)
        if not self.rows:
            q = q.mT.contiguous().mT
        mask = {
            None: None,
            'bool': make(torch.ones, 1, 1, 1, 500, dtype=torch.bool),
            'odd': make(torch.zeros, 1, 2, 500, 500, requires_grad=True),
        }[self.mask]
        return F.scaled_dot_product_attention(q, k, v, mask).sum()


@pytest.mark.parametrize('mask', [None, 'bool'])
@pytest.mark.parametrize('amp', [None, 'bf16'])
@pytest.mark.parametrize('rows', [True, False])
def test_scores_are_kept_only_where_a_fused_kernel_refuses(rows, amp, mask):
    model = Attention(rows, mask)
    memory = trace_step(model, model.loss, amp)
    large = [k for k in memory.kept if k.gib * GIB >= 2 * 2 * 2 * 500 * 500]
    assert bool(large) == bool(memory.scores) == (not rows)
    if not rows:
        assert [(k.module, k.shape) for k in memory.scores] == [('', (2, 2, 500, 500))]


def test_a_bias_of_any_width_with_a_gradient_suits_the_fused_kernel():
    model = Attention(True, 'odd')
    memory = trace_step(model, model.loss)
    assert not memory.scores
    assert memory.peak * GIB > 4 * 2 * 2 * 500 * 500, 'its gradient is made for each photo'


@pytest.mark.parametrize('shift', [0, 2])
def test_photos_share_the_bias_of_their_windows(shift):
    """Of which there is one for all windows, or, where they are shifted, one for each of them."""
    attention = FusedWindowAttention(64, 2, 4, shift_size=shift)
    attention = FusedWindowAttention.like(attention)

    def loss(make) -> torch.Tensor:
        return attention(make(torch.zeros, 3, 8 * 12, 64), (8, 12)).sum()

    memory = trace_step(attention, loss, 'bf16')
    windows, heads, pixels = (6 if shift else 1), 2, 16
    biases = [kept for kept in memory.kept if kept.shape[-2:] == (pixels, pixels)]
    assert not memory.scores
    assert [kept.gib * GIB for kept in biases] == [2 * windows * heads * pixels**2]


def test_the_model_is_left_as_it_was():
    model = build_model(load_config('mgfe-ris_tiny_refshapes', from_scratch=True)).eval()
    weights = dict(model.named_parameters()) | dict(model.named_buffers())
    backward = torch.autograd.backward
    values = {name: w.clone() for name, w in weights.items()}
    trace_memory(model, batch=2, size=(64, 64), words=5)
    now = dict(model.named_parameters()) | dict(model.named_buffers())
    assert all(now[name] is w for name, w in weights.items()) and now.keys() == weights.keys()
    assert all(torch.equal(w, values[name]) and w.grad is None for name, w in weights.items())
    assert not any(module.training for module in model.modules())
    assert torch.autograd.backward is backward
    photo, ids = torch.zeros(1, 3, 64, 64), torch.zeros(1, 5, dtype=torch.long)
    assert model(photo, ids, torch.ones_like(ids, dtype=torch.bool)).shape == (1, 2, 64, 64)


@pytest.mark.parametrize('amp', [pytest.param(None, marks=slow('10 s')), 'bf16'])
@pytest.mark.parametrize('config', CONFIGS)
def test_checkpoints_keep_less_and_no_attention_its_scores(small_swin, config, amp):
    """And nothing outlives the step."""
    setting = partial(trace, config, batch=2, size=(192, 192), amp=amp)
    plain, checkpointed = (setting({**small_swin, 'model.encoder.with_cp': with_cp}) for with_cp in (False, True))
    assert not plain.scores, f'{len(plain.scores)} do, the first: {plain.scores[0]}'
    assert checkpointed.activations < 0.8 * plain.activations
    assert checkpointed.peak < plain.peak
    for memory in (plain, checkpointed):
        before = memory.weights + memory.optimizer + memory.activations
        assert before < memory.peak < before + memory.gradients + 0.5 * plain.activations


@slow('10 s each')
@pytest.mark.parametrize(
    'encoder',
    ['resnet-50', 'convnext-base', 'vit-base-dino'],
)
def test_no_attention_behind_another_encoder_does(encoder):
    memory = trace(f'mgfe-ris_{encoder}_refcoco', batch=2, size=(192, 192), amp='bf16')
    assert not memory.scores, f'{len(memory.scores)} do, the first: {memory.scores[0]}'


@slow('10 s each')
@pytest.mark.parametrize(
    ('amp', 'checkpointed', 'limit'),
    [
        ('bf16', True, 7),
        ('bf16', False, 12),
        (None, False, 18),
    ],
)
def test_a_step_of_the_paper_fits_its_card(amp, checkpointed, limit):
    """Batch 8, 480 pixels, Swin-B and BERT-base; the paper trains on one card of 24 GB."""
    memory = trace(CONFIGS[1], {'model.encoder.with_cp': checkpointed}, batch=8, size=(480, 480), words=20, amp=amp)
    assert memory.weights * GIB / 4e6 == pytest.approx(238.5, abs=1)
    assert memory.weights + memory.optimizer + memory.activations < memory.peak < limit


@pytest.mark.parametrize(
    'wrong', [dict(batch=0), dict(size=(0, 480)), dict(words=0), dict(amp='fp8')], ids=lambda w: next(iter(w))
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match='must be'):
        trace_memory(None, **wrong)


def test_more_words_than_the_text_encoder_takes_are_refused():
    with pytest.raises(ValueError, match='cannot take sentences of 99 words'):
        trace('mgfe-ris_tiny_refshapes', words=99)


def test_an_old_torch_is_refused_before_it_aborts(monkeypatch):
    monkeypatch.setattr(torch, '__version__', TorchVersion('2.8.0+cu128'))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=r'torch 2\.8\.0\+cu128 cannot trace .* Take a newer one'):
        trace_step(None, None)
