"""HFTokenizer and HFTextEncoder: built in, from a local folder, and from nowhere."""

import json
import logging
import re

import pytest
import torch
from mmengine.logging import MMLogger
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    BertTokenizerFast,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    RobertaTokenizerFast,
)

from mgfe_ris.datasets.synthetic import VOCABULARY
from mgfe_ris.models.encoders import HFTextEncoder, HFTokenizer

SMALL = dict(
    model_type='bert',
    vocab_size=30,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=12,
)
ROBERTA = {**SMALL, 'model_type': 'roberta', 'type_vocab_size': 1, 'pad_token_id': 1}
CLIP = {**SMALL, 'model_type': 'clip_text_model', 'bos_token_id': 28, 'eos_token_id': 29, 'pad_token_id': 29}
PICTURES = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32)
TYPES = pytest.mark.parametrize('config', [SMALL, ROBERTA, CLIP], ids=lambda config: config['model_type'])
MISSING = ['/no/such/folder', './no/such/folder', 'no-such-model', 'no-such/model']


# Tokens


@pytest.fixture(scope='module')
def tokenizer():
    return HFTokenizer()


@pytest.mark.parametrize('word', VOCABULARY)
def test_each_word_of_refshapes_is_one_token(tokenizer, word):
    assert tokenizer.tokenizer.tokenize(word) == [word]


@pytest.mark.parametrize('word', ['giraffe', 'c3po', 'Zebra', "man's", 'left-hand', 'xylophone'])
def test_other_words_are_spelt_with_no_unknown_token(tokenizer, word):
    tokens = tokenizer.tokenizer.tokenize(word)
    assert '[UNK]' not in tokens
    assert ''.join(token.removeprefix('##') for token in tokens) == word.lower()


def test_trimmed_to_the_longest_sentence_of_the_batch(tokenizer):
    ids, mask = tokenizer(['The red ring', 'ring'])
    trimmed = HFTokenizer(trim=True)(['The red ring', 'ring'])
    assert torch.equal(trimmed[0], ids[:, :5]) and torch.equal(trimmed[1], mask[:, :5])


def test_sentences_become_padded_ids_between_marks_and_a_mask(tokenizer):
    ids, mask = tokenizer(['The red ring', 'ring'])
    assert ids.shape == mask.shape == (2, 20)
    assert (ids.dtype, mask.dtype) == (torch.int64, torch.bool)
    tokens = tokenizer.tokenizer.convert_ids_to_tokens(ids[0])
    assert tokens == ['[CLS]', 'the', 'red', 'ring', '[SEP]'] + ['[PAD]'] * 15
    assert mask.sum(1).tolist() == [5, 3]
    assert mask[0, :5].all() and mask[1, :3].all()
    assert ids[1, 1] == ids[0, 3] and (ids[1, 3:] == tokenizer.tokenizer.pad_token_id).all()


@pytest.fixture
def warnings(caplog):
    """What is logged as a warning, by whatever logger is current."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    logger.removeHandler(caplog.handler)


def test_a_long_sentence_is_cut_counted_and_logged_once(warnings):
    tokenizer = HFTokenizer(max_tokens=4)
    ids, mask = tokenizer(['the red ring', 'ring', 'the blue star', 'the star'])
    assert tokenizer.num_truncated == 2
    tokens = tokenizer.tokenizer.convert_ids_to_tokens(ids[0])
    assert tokens == ['[CLS]', 'the', 'red', 'ring']  # the official baseline cuts the end mark too
    assert mask.sum(1).tolist() == [4, 3, 4, 4]
    tokenizer(['the red ring'])
    assert tokenizer.num_truncated == 3
    (message,) = warnings()
    assert 'a sentence of 5 tokens is cut to max_tokens=4' in message and 'the red ring' in message


UNKNOWN = ['红色的盒子', 'نص عربي', '😀', '...', '?!', '红!', '[MASK]', '[SEP] [CLS]', 'x' * 250]
KNOWN = ['é', 'İstanbul', 'the 红 ring', 'red\nbox', '$5', 'xyzzy', '7', 'ring!']


@pytest.mark.parametrize(('sentence', 'known'), [*((s, False) for s in UNKNOWN), *((s, True) for s in KNOWN)])
def test_whether_a_word_of_a_sentence_is_known(tokenizer, sentence, known):
    assert tokenizer.knows(sentence) == known


@pytest.mark.parametrize('sentence', ['\u200b', '\u0007', '\u2060\u00ad', '\u0301', '\ufe0f'])
def test_a_sentence_of_which_nothing_is_left_is_named(tokenizer, sentence):
    with pytest.raises(ValueError, match=f'the sentence {re.escape(repr(sentence))} has no character that the tokeni'):
        tokenizer.knows(sentence)


def test_sentences_without_a_known_word_are_counted_and_logged_once(warnings):
    tokenizer = HFTokenizer()
    tokenizer(['the red ring', '红色的盒子', '\u200b'])
    tokenizer(['😀 😀', 'ring'])
    assert tokenizer.num_unknown == 3 and tokenizer.num_truncated == 0
    (message,) = warnings()
    assert "knows no word of a sentence, which so says nothing: '红色的盒子'" in message


@pytest.mark.parametrize('empty', ['', '  \t\n'])
def test_an_empty_sentence_is_refused_with_its_place(tokenizer, empty):
    with pytest.raises(ValueError, match='sentence 1 of the batch is empty'):
        tokenizer(['ring', empty])


def test_a_tokenizer_loads_from_a_local_folder(tmp_path):
    (tmp_path / 'vocab.txt').write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'cat']))
    BertTokenizerFast(str(tmp_path / 'vocab.txt')).save_pretrained(tmp_path / 'saved')
    ids, mask = HFTokenizer(str(tmp_path / 'saved'), max_tokens=6)(['Cat dog'])
    assert ids.tolist() == [[2, 5, 1, 3, 0, 0]]
    assert mask.tolist() == [[True] * 4 + [False] * 2]


BYTES = ['a', 'b', 'c', 'Ġ', 'Ġa', 'Ġb', 'Ġc', 'a</w>', 'b</w>', 'c</w>']


@pytest.mark.parametrize(
    ('kind', 'vocabulary', 'pad', 'expected'),
    [
        # as in roberta-base and in clip-vit-base-patch32: RoBERTa pads with an id of its own, CLIP with the end mark
        (RobertaTokenizerFast, ['<s>', '<pad>', '</s>', '<unk>', *BYTES, '<mask>'], 1, [0, 4, 9, 2, 1, 1]),
        (CLIPTokenizerFast, [*BYTES, '<|startoftext|>', '<|endoftext|>'], 11, [10, 7, 8, 11, 11, 11]),
    ],
)
def test_the_tokenizers_of_roberta_and_clip_pad_with_their_own_id(kind, vocabulary, pad, expected, tmp_path):
    (tmp_path / 'vocab.json').write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
    (tmp_path / 'merges.txt').write_text('#version: 0.2\nĠ b\n')
    kind(str(tmp_path / 'vocab.json'), str(tmp_path / 'merges.txt')).save_pretrained(tmp_path / 'saved')
    tokenizer = HFTokenizer(str(tmp_path / 'saved'), max_tokens=6)
    ids, mask = tokenizer(['a b'])
    assert tokenizer.tokenizer.pad_token_id == pad
    assert ids.tolist() == [expected]
    # CLIP's end mark counts once as a word, though it pads as well
    assert mask.tolist() == [[True] * 4 + [False] * 2]
    assert tokenizer.num_unknown == 0
    assert tokenizer.knows('a') and not tokenizer.knows('\u00e9 ...'), 'of the bytes, these few vocabularies have three'


# Features


def encoder(config=SMALL, **kwargs):
    return HFTextEncoder(config=config, **kwargs).eval()


@pytest.fixture
def sentences():
    ids = torch.randint(1, SMALL['vocab_size'], (2, 6))
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    return ids, mask


@pytest.fixture(params=[BertModel, BertForMaskedLM])
def folder(request, tmp_path):
    """A saved BERT, bare (with a pooler) or with a head, as on the hub."""
    request.param(BertConfig(**SMALL)).save_pretrained(tmp_path)
    return str(tmp_path)


def test_an_encoder_is_built_from_a_config_without_a_pooler(sentences):
    module = encoder()
    assert module(*sentences).words.shape == (2, 6, 8)
    assert not [name for name, _ in module.named_parameters() if 'pooler' in name]
    stock = BertModel(BertConfig(**SMALL), add_pooling_layer=False).eval()
    stock.load_state_dict(module.model.state_dict())
    expected = stock(input_ids=sentences[0], attention_mask=sentences[1].long()).last_hidden_state
    assert torch.equal(module(*sentences).words, expected)


@pytest.mark.parametrize('name', ['mean', 'first', 'end', None])
def test_the_sentence_that_the_config_names(name, sentences):
    module = encoder(sentence=name)
    text = module(*sentences)
    assert torch.equal(text.mask, sentences[1])
    if name is None:
        assert (text.sentence, module.sentence_channels) == (None, None)
        return
    for words, mask, sentence in zip(*text, strict=True):
        real = words[mask]
        torch.testing.assert_close(sentence, dict(mean=real.mean(0), first=real[0], end=real[-1])[name])
    assert module.sentence_channels == text.sentence.shape[1]


def test_a_sentence_of_another_name():
    with pytest.raises(ValueError, match=r"sentence must be None or one of \['mean', 'first', 'end'\]; got 'cls'"):
        encoder(sentence='cls')


@TYPES
def test_padded_ids_change_no_word_bitwise(config, sentences):
    module, (ids, mask) = encoder(config), sentences
    ids = ids.masked_fill(ids == config.get('pad_token_id', 0), 5)
    before = module(ids, mask).words
    for padding in ((ids + 7) % 30, torch.full_like(ids, config.get('pad_token_id', 0))):
        after = module(torch.where(mask, ids, padding), mask).words
        assert torch.equal(after[mask], before[mask])
    assert not torch.equal(module((ids + 7) % 30, mask).words[mask], before[mask])


@pytest.mark.parametrize('config', [None, SMALL], ids=['config of the folder', 'config given'])
def test_weights_of_a_local_folder_are_loaded_by_init_weights(folder, config, sentences):
    module = HFTextEncoder(pretrained=folder, config=config).eval()
    stock = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    expected = stock(input_ids=sentences[0], attention_mask=sentences[1].long()).last_hidden_state
    assert not torch.allclose(module(*sentences).words, expected, atol=1e-2)
    module.init_weights()
    assert torch.equal(module(*sentences).words, expected)


@pytest.fixture(
    params=[
        (BertModel, BertConfig, SMALL, dict(add_pooling_layer=False)),
        (RobertaModel, RobertaConfig, ROBERTA, dict(add_pooling_layer=False)),
        (RobertaForMaskedLM, RobertaConfig, ROBERTA, {}),
        (CLIPTextModel, CLIPTextConfig, CLIP, {}),
        (CLIPModel, CLIPConfig, dict(text_config=CLIP, vision_config=PICTURES), {}),
    ],
    ids=lambda param: param[0].__name__,
)
def saved(request, tmp_path):
    """A model of transformers with random weights in a folder, what it calls its text model, and that one's config."""
    kind, config_kind, config, kwargs = request.param
    model = kind(config_kind(**{k: v for k, v in config.items() if k != 'model_type'}), **kwargs).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases and norms too: one that is left out must show
    model.save_pretrained(tmp_path)
    text = {'RobertaForMaskedLM': 'roberta', 'CLIPModel': 'text_model'}.get(kind.__name__)
    return str(tmp_path), getattr(model, text) if text else model, config.get('text_config', config)


@pytest.mark.parametrize('given', [False, True], ids=['config of the folder', 'config given'])
def test_words_are_transformers_own(saved, given, sentences):
    folder, stock, config = saved
    module = HFTextEncoder(pretrained=folder, config=config if given else None).eval()
    ids, mask = sentences
    expected = stock(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert not torch.allclose(module(ids, mask).words, expected, atol=1e-2)
    module.init_weights()
    assert torch.equal(module(ids, mask).words, expected)
    assert not [name for name, _ in module.named_parameters() if 'pool' in name or 'vision' in name]
    assert type(module.model).__name__.removesuffix('Model') in ('Bert', 'Roberta', 'CLIPText')


def test_the_config_of_a_whole_clip_gives_its_text_tower():
    module = encoder(dict(model_type='clip', text_config=CLIP, vision_config=PICTURES))
    assert {name: p.shape for name, p in module.named_parameters()} == {
        name: p.shape for name, p in encoder(CLIP).named_parameters()
    }


@TYPES
def test_every_weight_learns(config):
    module = encoder(config)
    ids = torch.arange(2, 26).view(2, 12)[:, :10]
    (module(ids, ids > 0).words * torch.randn(2, 10, 8)).sum().backward()
    assert not [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(num_hidden_layers=4), r'lacks 16 of the weights of a bert .*encoder\.layer\.3\.attention'),
        (dict(model_type='roberta'), 'is a bert, but config says roberta'),
        (CLIP, 'is a bert, but config says clip_text_model'),
    ],
    ids=['deeper', 'roberta', 'clip'],
)
def test_files_that_do_not_fit_are_refused(folder, config, message):
    module = HFTextEncoder(pretrained=folder, config={**SMALL, **config})
    before = {name: p.clone() for name, p in module.named_parameters()}
    with pytest.raises(ValueError, match=message) as error:
        module.init_weights()
    assert folder in str(error.value)
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())


@pytest.mark.parametrize('layers', [0, 2, 3])
@TYPES
def test_trainable_layers_freezes_all_but_the_first(config, layers):
    module = encoder(config, trainable_layers=layers)
    free = {name for name, p in module.named_parameters() if p.requires_grad}
    path = 'model.text_model.encoder.layers' if config is CLIP else 'model.encoder.layer'
    first = tuple(f'{path}.{i}.' for i in range(layers))
    assert free == {name for name, _ in module.named_parameters() if name.startswith(first or '-')}
    assert len(free) == 16 * layers


def test_layers_that_are_found_nowhere_are_named_by_the_models_type():
    config = dict(model_type='distilbert', vocab_size=30, dim=8, hidden_dim=16, n_layers=2, n_heads=2)
    encoder(config)
    with pytest.raises(ValueError, match='trainable_layers: a distilbert keeps its layers neither in'):
        encoder(config, trainable_layers=1)


def test_everything_is_trained_by_default():
    assert all(p.requires_grad for p in encoder().parameters())


def test_an_encoder_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r'needs pretrained .* or config'):
        HFTextEncoder()


@pytest.mark.parametrize('name', MISSING)
@pytest.mark.parametrize(
    ('build', 'option'),
    [
        (lambda name: HFTextEncoder(pretrained=name), 'text_encoder.pretrained'),
        (
            lambda name: HFTextEncoder(pretrained=name, config=SMALL).init_weights(),
            'text_encoder.pretrained',
        ),
        (HFTokenizer, 'data_preprocessor.tokenizer.pretrained'),
    ],
    ids=['config', 'weights', 'tokenizer'],
)
def test_what_is_nowhere_is_named_with_the_remedy(build, option, name):
    with pytest.raises(OSError) as error:
        build(name)
    message = str(error.value)
    assert name in message and f'model.{option}=DIR' in message and '--from-scratch' in message


def test_code_in_a_folder_is_neither_run_nor_asked_for(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr('builtins.input', lambda *_: pytest.fail('asked'))
    tokenizer.tokenizer.save_pretrained(tmp_path)
    path = tmp_path / 'tokenizer_config.json'
    asks = dict(auto_map={'AutoTokenizer': ['evil.Tok', None]}, tokenizer_class='Tok')
    path.write_text(json.dumps({**json.loads(path.read_text()), **asks}))
    (tmp_path / 'evil.py').write_text(f'open({str(tmp_path / "ran")!r}, "w").close()\nTok = None\n')
    (tmp_path / 'config.json').write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=f'{tmp_path} lacks a file, or one is broken .*custom code'):
        HFTokenizer(pretrained=str(tmp_path))
    assert not (tmp_path / 'ran').exists()


def test_a_folder_without_weights_is_named_with_the_remedy(tmp_path):
    BertConfig(**SMALL).save_pretrained(tmp_path)
    module = HFTextEncoder(pretrained=str(tmp_path))
    with pytest.raises(OSError, match=f'{tmp_path}.*text_encoder.pretrained=DIR'):
        module.init_weights()


def test_a_folder_with_more_layers_than_config_is_refused(tmp_path):
    BertModel(BertConfig(**{**SMALL, 'num_hidden_layers': 3})).save_pretrained(tmp_path)
    module = HFTextEncoder(pretrained=str(tmp_path), config=dict(SMALL, model_type='bert', num_hidden_layers=2))
    with pytest.raises(ValueError, match=r'has layers that config does not: .*encoder\.layer\.2\.'):
        module.init_weights()


def names_of_version_4():
    """Of a layer and what is around it, in the order in which optimizers number them."""
    parts = [f'attention.self.{part}' for part in ('query', 'key', 'value')]
    parts += [f'{part}.{name}' for part in ('attention.output', 'output') for name in ('dense', 'LayerNorm')]
    parts.insert(5, 'intermediate.dense')
    tables = ['word_embeddings', 'position_embeddings', 'token_type_embeddings']
    layers = [f'encoder.layer.{i}.{part}.{kind}' for i in (0, 1) for part in parts for kind in ('weight', 'bias')]
    before = [*(f'{table}.weight' for table in tables), 'LayerNorm.weight', 'LayerNorm.bias']
    return [f'model.embeddings.{name}' for name in before] + [f'model.{name}' for name in layers]


@pytest.mark.parametrize('kind', ['bert', 'roberta'])
def test_names_and_their_order_are_those_of_transformers_4(kind):
    """Checkpoints name weights, and optimizers in them number them."""
    module = encoder({**SMALL, 'model_type': kind, 'num_hidden_layers': 2})
    assert [name for name, _ in module.named_parameters()] == names_of_version_4()


@pytest.mark.parametrize('by', ['sdpa', 'eager'])
@TYPES
def test_words_are_the_same_whatever_pads_them(config, by):
    module = encoder({**config, 'attn_implementation': by}).eval()
    ids = torch.arange(3, 23).view(2, 10)
    mask = torch.arange(10) < torch.tensor([[10], [4]])
    padded = ids.masked_fill(~mask, module.padding or 0)
    alone = module(padded[1:, :4], mask[1:, :4]).words
    torch.testing.assert_close(module(padded, mask).words[1:, :4], alone, rtol=0, atol=1e-6)
