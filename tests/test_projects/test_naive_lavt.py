"""The plain LAVT computes what ours computes, with the same weights."""

from pathlib import Path

import pytest
import torch

from mgfe_ris.apis import build_model, load_config

FOLDER = Path(__file__).parents[2] / 'projects' / 'naive_lavt'
CHANNELS = (8, 16, 32, 64)
SMALL_SWIN = {
    'model.encoder.embed_dims': 8,
    'model.encoder.depths': (2, 2, 2, 2),
    'model.encoder.num_heads': (1, 2, 4, 8),
    'model.encoder.window_size': 4,
    'model.encoder.drop_path_rate': 0.0,
    'model.neck.channels': CHANNELS,
    'model.neck.text_channels': 32,
    'model.decode_head.channels': CHANNELS,
    'model.text_encoder.config.vocab_size': 420,
    'model.text_encoder.config.hidden_size': 32,
    'model.text_encoder.config.intermediate_size': 32,
    'model.text_encoder.config.num_hidden_layers': 1,
    'model.text_encoder.config.num_attention_heads': 2,
    'model.text_encoder.config.hidden_dropout_prob': 0.0,
    'model.text_encoder.config.attention_probs_dropout_prob': 0.0,
}


@pytest.fixture(params=['swin-base_refcoco', 'tiny_refshapes'])
def pair(request, monkeypatch, small_model, one_thread):
    """Ours and the plain one with the same random weights, none of them at 0, in float64."""
    monkeypatch.syspath_prepend(FOLDER)
    options = small_model if request.param == 'tiny_refshapes' else SMALL_SWIN
    torch.manual_seed(0)
    ours, plain = (
        build_model(load_config(config, options, from_scratch=True)).double()
        for config in (f'lavt_{request.param}', FOLDER / f'naive-lavt_{request.param}.py')
    )
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    assert list(plain.state_dict()) == list(ours.state_dict())
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def inputs(batch: int, size: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """Photos, token ids, and a mask that leaves out the last words of one sentence."""
    mask = torch.ones(batch, 6, dtype=torch.bool)
    mask[0, 3:] = False
    return torch.randn(batch, 3, *size, dtype=torch.float64), torch.randint(0, 420, (batch, 6)), mask


@pytest.mark.parametrize(('batch', 'size'), [(2, (64, 64)), (1, (52, 90))])
def test_logits_agree(pair, batch, size):
    ours, plain = (model.eval() for model in pair)
    case = inputs(batch, size)
    with torch.no_grad():
        expected = ours.segment(*case)
        torch.testing.assert_close(plain.segment(*case), expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


def test_gradients_agree(pair):
    case = inputs(2, (64, 64))
    target = torch.randint(0, 2, (2, 64, 64))
    for model in pair:
        model.train()
        model.loss_function(model.segment(*case), target).backward()
    plain = dict(pair[1].named_parameters())
    for name, parameter in pair[0].named_parameters():
        theirs = plain[name]
        assert theirs.requires_grad == parameter.requires_grad, name
        if parameter.grad is None:
            assert theirs.grad is None, name
            continue
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(theirs.grad, parameter.grad, rtol=0, atol=1e-9 * max(scale, 1), msg=name)


def test_parts_are_plain(pair):
    names = {type(module).__name__ for module in pair[1].modules()}
    assert not names & {'FusedWindowAttention', 'PixelWordAttention', 'LanguageGate', 'LightDecodeHead'}
    assert 'NaiveDecodeHead' in names and pair[1].cfg.optim_wrapper.optimizer.fused is False
    assert pair[1].text_encoder.model.config._attn_implementation == 'eager'
