"""CLIP's towers: against numbers recorded from the official code, and against Hugging Face's."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from mgfe_ris.models.checkpoints import differences, from_clip_resnet, from_clip_text
from mgfe_ris.models.encoders import CLIPResNetEncoder, CLIPTextTower, HFTokenizer

SHARED = Path(__file__).parents[3] / 'shared/fixtures'
RECORDS = sorted(SHARED.glob('cris*.pt'))


@pytest.fixture(scope='module', params=RECORDS or [None], ids=lambda path: path.stem if path else 'none')
def record(request) -> dict:
    if request.param is None:
        pytest.skip(f'no recorded numbers: {SHARED}/cris*.pt')
    return torch.load(request.param, weights_only=True)


def towers(record: dict) -> tuple[CLIPResNetEncoder, CLIPTextTower]:
    sizes, state = record['config'], record['state_dict']
    grid = sizes['clip_resolution'] // 32
    image = CLIPResNetEncoder(
        sizes['vision_layers'],
        sizes['vision_width'],
        attention_pool=dict(out_channels=sizes['embed_dim'], grid=grid),
        norm_outs=False,
    )
    text = CLIPTextTower(
        sizes['text_width'],
        sizes['text_layers'],
        sizes['embed_dim'],
        max_tokens=sizes['context_length'],
        vocabulary_size=sizes['vocab_size'],
    )
    for tower, convert in ((image, from_clip_resnet), (text, from_clip_text)):
        converted = convert(dict(state_dict={f'module.{name}': value for name, value in state.items()}))
        assert not differences(converted, tower.state_dict())
        tower.load_state_dict(converted)
    return image.double().eval(), text.double().eval()


@pytest.fixture(scope='module')
def vocabulary() -> Path:
    """The file of CLIP's authors, which some packages bring."""
    for package in ('open_clip', 'clip'):
        if (spec := find_spec(package)) and spec.origin:
            return Path(spec.origin).with_name('bpe_simple_vocab_16e6.txt.gz')
    pytest.skip('no package with bpe_simple_vocab_16e6.txt.gz: pip install open_clip_torch')


def test_recorded_tokens(record, vocabulary):
    if 'tokenizer' not in record:
        pytest.skip('this record has no sentences')
    sentences = record['tokenizer']['sentences']
    for name, ids in record['tokenizer'].items():
        if name != 'sentences':
            tokenizer = HFTokenizer(str(vocabulary), ids.shape[1], keep_end=True, pad_id=0)
            said = [i for i, sentence in enumerate(sentences) if sentence]  # we refuse to look for nothing
            assert tokenizer([sentences[i] for i in said])[0].tolist() == ids[said].tolist()


def test_recorded_image_tower(record):
    image, _ = towers(record)
    with torch.no_grad():
        x = record['inputs']['image']
        _, v3, v4, v5 = image(x)
        stem = image.stem(x)
    for name, value in dict(stem=stem, v3=v3, v4=v4, v5=v5).items():
        torch.testing.assert_close(value, record['features'][name], rtol=0, atol=1e-12, msg=name)


def test_recorded_text_tower(record):
    _, text = towers(record)
    ids, mask = record['inputs']['ids'], ~record['inputs']['pad_mask']
    with torch.no_grad():
        words = text(ids, mask).words
        first = text.blocks[0](*text.embed(ids))
        state = text.sentence(words, mask)
    expected = record['features']
    torch.testing.assert_close(first, expected['text_block0'].transpose(0, 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(words, expected['words'], rtol=0, atol=1e-12)
    torch.testing.assert_close(state, expected['state'], rtol=0, atol=1e-12)


def test_the_text_tower_is_that_of_hugging_face():
    """Its weights, too, by their names; padding aside, where ours looks at it as CLIP's authors do."""
    sizes = dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512, projection_dim=24)
    sizes |= dict(vocab_size=50, max_position_embeddings=12, eos_token_id=49, hidden_act='quick_gelu')
    theirs = CLIPTextModelWithProjection(CLIPTextConfig(**sizes)).eval()  # its masks do not know float64
    ours = CLIPTextTower(128, 2, 24, max_tokens=12, vocabulary_size=50)
    state = from_clip_text(theirs.state_dict())
    assert not differences(state, ours.state_dict())
    ours.load_state_dict(state)
    ours.eval()
    ids = torch.tensor([[48, 3, 4, 5, 49, 0, 0], [48, 7, 49, 0, 0, 0, 0]])
    mask = ids > 0
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask.long())
        words = ours(ids, mask).words
        torch.testing.assert_close(words[mask], expected.last_hidden_state[mask], rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.sentence(words, mask), expected.text_embeds, rtol=0, atol=1e-5)


@pytest.mark.parametrize(('sentence', 'channels'), [('end', 8), ('mean', 64), ('first', 64), (None, None)])
def test_the_sentence_that_the_config_names(sentence, channels):
    tower = CLIPTextTower(64, 1, 8, max_tokens=6, vocabulary_size=20, sentence=sentence)
    text = tower(torch.tensor([[18, 3, 4, 19, 0, 0]]), torch.tensor([[True] * 4 + [False] * 2]))
    first, *_, last = real = text.words[0, :4]
    expected = {'end': last @ tower.text_projection, 'mean': real.mean(0), 'first': first}.get(sentence)
    assert tower.sentence_channels == channels
    if sentence is None:
        assert text.sentence is None
        # the tower's own, for models that run its blocks themselves
        assert torch.equal(tower.sentence(text.words, text.mask)[0], last @ tower.text_projection)
    else:
        torch.testing.assert_close(text.sentence[0], expected)


def test_a_word_sees_those_before_it_and_none_behind():
    tower = CLIPTextTower(64, 2, 8, max_tokens=6, vocabulary_size=20).double()
    ids = torch.randint(1, 19, (2, 6))
    changed = ids.clone()
    changed[:, 4] = 19
    mask = torch.ones(2, 6, dtype=torch.bool)
    difference = (tower(ids, mask).words - tower(changed, mask).words).abs().amax((0, 2))
    assert (difference[:4] == 0).all() and (difference[4:] > 1e-6).all()


@pytest.mark.parametrize('pool', [None, dict(out_channels=24, grid=2)])
def test_an_image_tower_has_slots_for_language(pool):
    """As the other encoders: what a slot gives back goes on, and every parameter that counts is trained."""
    encoder = CLIPResNetEncoder((1, 1, 1, 1), 8, attention_pool=pool)
    photos = torch.randn(2, 3, 64, 96)
    seen = []

    def fuse(i: int, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append((i, v.shape[1], v.shape[2:]))
        return v + 1, torch.ones_like(v)

    plain, fused = encoder(photos), encoder(photos, fuse)
    channels = encoder.out_channels
    assert channels == (32, 64, 128, 24 if pool else 256)
    assert seen == [(i, c, (16 // 2**i, 24 // 2**i)) for i, c in enumerate(channels)]
    assert [tuple(out.shape[:2]) for out in fused] == [(2, c) for c in channels]
    assert not torch.allclose(plain[1], fused[1]), 'feedback of the first slot'
    sum(out.square().sum() for out in fused).backward()
    without = {name for name, p in encoder.named_parameters() if p.grad is None}
    assert not without


def test_weights_of_openai_load_through_the_config(tmp_path):
    """As a TorchScript archive, in halves, with the text tower beside it."""
    source = CLIPResNetEncoder((1, 1, 1, 1), 8, attention_pool=dict(out_channels=16, grid=2), norm_outs=False).half()
    text = CLIPTextTower(64, 1, 16, max_tokens=5, vocabulary_size=9).half()
    names = {f'visual.{k}': v for k, v in source.state_dict().items() if 'connect' not in k}
    names |= {
        k.replace('blocks.', 'transformer.resblocks.').replace('mlp.0', 'mlp.c_fc').replace('mlp.2', 'mlp.c_proj'): v
        for k, v in text.state_dict().items()
    }
    names['logit_scale'] = torch.ones(())
    torch.save(names, tmp_path / 'RN.pt')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'RN.pt'))
    pool = dict(out_channels=16, grid=2)
    encoder = CLIPResNetEncoder((1, 1, 1, 1), 8, attention_pool=pool, init_cfg=init_cfg)
    encoder.init_weights()
    tower = CLIPTextTower(64, 1, 16, max_tokens=5, vocabulary_size=9, init_cfg=init_cfg)
    tower.init_weights()
    for ours, theirs in ((encoder, source), (tower, text)):
        for name, value in theirs.state_dict().items():
            if 'connect' not in name:
                torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=0, check_dtype=False)
    without = CLIPResNetEncoder((1, 1, 1, 1), 8, init_cfg=init_cfg)
    without.init_weights()
    torch.testing.assert_close(without.layer4[0].conv3.weight, source.layer4[0].conv3.weight.float(), rtol=0, atol=0)
    with pytest.raises(ValueError, match='does not fit CLIPResNetEncoder'):
        CLIPResNetEncoder((1, 2, 1, 1), 8, init_cfg=init_cfg).init_weights()
