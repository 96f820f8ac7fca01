"""Parts that do not fit one another are named when the model is built."""

import re

import pytest
import torch
from mmseg.registry import MODELS
from transformers import BertConfig, BertModel, BertTokenizerFast

from mgfe_ris.apis import load_model
from mgfe_ris.models.encoders import HFTextEncoder, HFTokenizer
from mgfe_ris.models.encoders.text import VOCABULARY
from mgfe_ris.models.fit import check_channels, check_text

BERT = dict(
    model_type='bert',
    vocab_size=420,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    max_position_embeddings=32,
)
ROBERTA = {**BERT, 'model_type': 'roberta'}
CLIP = {**BERT, 'model_type': 'clip_text_model'}
DISTILBERT = dict(
    model_type='distilbert', vocab_size=420, dim=16, hidden_dim=16, n_layers=1, n_heads=2, max_position_embeddings=32
)
WORDS = len(HFTokenizer().tokenizer)


def check(config: dict, max_tokens: int = 20, text_channels: int = 16, **sources: str) -> None:
    encoder = HFTextEncoder(sources.get('weights'), config)
    check_text(HFTokenizer(sources.get('tokenizer'), max_tokens), encoder, dict(text_channels=text_channels))


@pytest.mark.parametrize(
    ('config', 'max_tokens'),
    [
        (BERT, 32),
        ({**BERT, 'vocab_size': WORDS}, 20),  # no row to spare
        ({**BERT, 'vocab_size': 30_522}, 20),  # more rows than words
        (DISTILBERT, 32),
        ({**ROBERTA, 'pad_token_id': 0}, 31),  # random weights learn any ids
        (CLIP, 32),  # it looks for its end mark only in what is not used here
        ({**BERT, 'model_type': 'albert', 'embedding_size': 8, 'num_hidden_groups': 1}, 32),  # narrow ids, wide words
        ({**BERT, 'model_type': 'electra', 'embedding_size': 8}, 32),
        ({**BERT, 'model_type': 'deberta', 'position_biased_input': False, 'relative_attention': True}, 200),
    ],
    ids=lambda value: value.get('model_type') if isinstance(value, dict) else None,
)
def test_what_fits(config, max_tokens):
    check(config, max_tokens)


@pytest.mark.parametrize(
    ('config', 'options', 'message'),
    [
        (
            ROBERTA,
            {},
            r'BertTokenizer(Fast)?\) pads with id 0, HFTextEncoder with id 1.*text_encoder.config.pad_token_id=0',
        ),
        (
            {**BERT, 'vocab_size': 300},
            {},
            rf'ids up to {WORDS - 1}, the vocabulary of HFTextEncoder has 300 .*={WORDS},',
        ),
        ({**BERT, 'vocab_size': WORDS - 1}, {}, f'has {WORDS - 1} entries'),
        (BERT, dict(max_tokens=33), 'tokenizer.max_tokens=33, but HFTextEncoder has positions for 32 tokens: lower'),
        ({**ROBERTA, 'pad_token_id': 0}, dict(max_tokens=32), 'positions for 31 tokens'),
        (CLIP, dict(max_tokens=40), 'positions for 32 tokens'),
        (DISTILBERT, dict(max_tokens=33), 'positions for 32 tokens'),
        (DISTILBERT, dict(text_channels=768), 'words of HFTextEncoder have 16 channels, neck.text_channels is 768'),
        (CLIP, dict(text_channels=512), 'words of HFTextEncoder have 16 channels, neck.text_channels is 512'),
    ],
)
def test_what_does_not_fit(config, options, message):
    with pytest.raises(ValueError, match=message):
        check(config, **options)


def test_robertas_positions_begin_behind_padding():
    """The limit that is checked is the one that it has."""
    encoder = HFTextEncoder(config={**ROBERTA, 'pad_token_id': 0}).eval()
    for tokens, fits in ((31, True), (32, False)):
        ids, mask = HFTokenizer(max_tokens=tokens)(['ring ' * 40])
        if fits:
            assert encoder(ids, mask).words.shape == (1, tokens, 16)
        else:
            with pytest.raises((IndexError, RuntimeError)):
                encoder(ids, mask)


@pytest.fixture
def weights(tmp_path):
    """A small BERT with the built-in vocabulary, and the same words in another order."""
    folders = []
    words = VOCABULARY.read_text(encoding='utf-8').splitlines()
    for name, order in (('ours', words), ('other', words[:5] + words[:4:-1])):
        folder = tmp_path / name
        BertModel(BertConfig(**BERT)).save_pretrained(folder)
        (tmp_path / f'{name}.txt').write_text('\n'.join(order) + '\n', encoding='utf-8')
        BertTokenizerFast(str(tmp_path / f'{name}.txt')).save_pretrained(folder)
        folders.append(str(folder))
    return folders


def test_weights_with_the_tokenizer_of_others(weights):
    """Nothing else tells them apart: size, marks and padding are the same."""
    ours, other = weights
    check(BERT, weights=ours, tokenizer=ours)
    check(BERT, weights=ours)
    for tokenizer in (other, None):
        source = re.escape(repr(tokenizer))
        with pytest.raises(ValueError, match=rf'trained with another tokenizer than .*pretrained={source} \(BertT'):
            check(BERT, weights=other if tokenizer is None else ours, tokenizer=tokenizer)


def test_weights_of_clip_with_berts_tokenizer():
    """Of a CLIP whose tokenizer is not on this machine: the kind tells."""
    with pytest.raises(ValueError, match=r"text_encoder.pretrained='some/clip' was trained with another tokenizer"):
        check(CLIP, weights='some/clip')
    check(BERT, weights='some/bert')


def test_a_part_that_does_not_say_is_not_compared():
    check_text(HFTokenizer(max_tokens=1000), object(), {})
    check_channels(object(), dict(type='X'), dict(channels=(1, 2)))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'neck.channels': (8, 16, 32, 65)},
            r'stages of ResNetEncoder are \[8, 16, 32, 64\] channels wide, neck.channels',
        ),
        ({'decode_head.channels': (8, 16, 32)}, r'64\] channels wide, decode_head.channels \[8, 16, 32\]'),
        ({'data_preprocessor.tokenizer.max_tokens': 40}, 'max_tokens=40, but HFTextEncoder has positions for 32'),
        ({'text_encoder.config.model_type': 'roberta'}, 'pads with id 0, HFTextEncoder with id 1'),
        ({'text_encoder.config.vocab_size': 100}, 'the vocabulary of HFTextEncoder has 100 entries'),
        ({'neck.text_channels': 64}, 'have 32 channels, neck.text_channels is 64'),
    ],
)
def test_a_model_is_refused_when_it_is_built(small_model, options, message):
    options = {**small_model, **{f'model.{key}': value for key, value in options.items()}}
    with pytest.raises(ValueError, match=message):
        load_model('mgfe-ris_tiny_refshapes', options=options, device='cpu')


@pytest.mark.parametrize(
    ('encoder', 'widths'),
    [
        (dict(type='SwinEncoder', embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)), [8, 16, 32, 64]),
        (dict(type='ResNetEncoder', depth=50, base_channels=4, stem_channels=4), [16, 32, 64, 128]),
        (dict(type='ConvNeXtEncoder', arch=dict(depths=(1,) * 4, channels=(8, 8, 16, 16))), [8, 8, 16, 16]),
        (dict(type='CLIPResNetEncoder', depths=(1,) * 4, base_channels=4), [16, 32, 64, 128]),
        (dict(type='CLIPViTEncoder', width=8, depth=4, grid=2, head_channels=4), [8] * 4),
        (dict(type='ViTEncoder', arch=dict(embed_dims=8, num_layers=4, num_heads=1, feedforward_channels=8)), [8] * 4),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else '',
)
def test_each_encoder_says_its_widths(encoder, widths):
    encoder = MODELS.build(encoder)
    assert [feature.shape[1] for feature in encoder(torch.randn(1, 3, 64, 64))] == widths
    with pytest.raises(ValueError, match=r'decode_head.channels \[1, 2, 3, 4\]: expected the same'):
        check_channels(encoder, dict(channels=widths), dict(channels=(1, 2, 3, 4)))
