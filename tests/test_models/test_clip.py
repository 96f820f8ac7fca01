"""CLIP's towers: against numbers recorded from the official code, and against Hugging Face's."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from by_hand import randomize
from safetensors.torch import save_file
from slow import slow
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection

from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.clip_checkpoints import from_clip_resnet, from_clip_text, from_clip_vit
from mgfe_ris.models.encoders import CLIPResNetEncoder, CLIPTextTower, CLIPViTEncoder, HFTokenizer
from mgfe_ris.models.encoders.fast_tokenizer import save_tokenizer
from mgfe_ris.models.sentence import STATES

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


def test_a_vocabulary_file_is_read_as_clip_does(clip_vocabulary, tmp_path):
    """Ids counted by hand: the bytes that are seen from '!' on, the same at the end of a word, pairs, both ends."""
    tokenizer = HFTokenizer(str(clip_vocabulary), 12, keep_end=True, pad_id=0)
    byte = {letter: ord(letter) - ord('!') for letter in "'&res"}
    red, start, end = 512 + 1, 49406, 49407
    ids, _ = tokenizer(["RED  red's\n&amp; S", 're'])
    expected = [start, red, red, byte["'"], byte['s'] + 256, byte['&'] + 256, byte['s'] + 256, end, 0, 0, 0, 0]
    assert ids[0].tolist() == expected
    assert ids[1, :4].tolist() == [start, byte['r'], byte['e'] + 256, end]
    assert tokenizer.tokenizer.encode('RED') == [start, red, end]  # not cleaned
    save_tokenizer(tokenizer.tokenizer, tmp_path)
    assert HFTokenizer(str(tmp_path))(['RED'])[0][0, :3].tolist() == [start, red, end]


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


@pytest.fixture
def double():
    """Hugging Face's masks are of the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@torch.no_grad()
@pytest.mark.parametrize(
    'sizes',
    [
        (128, 2, 24, 12, 50),
        pytest.param((512, 12, 512, 77, 49408), marks=slow('a model of full size in double precision')),
    ],
    ids=str,
)
def test_the_text_tower_is_that_of_hugging_face(sizes, double):
    """Its weights, too, by their names; padding aside, where ours looks at it as CLIP's authors do."""
    width, depth, sentence, places, vocabulary = sizes
    config = CLIPTextConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        projection_dim=sentence,
        vocab_size=vocabulary,
        max_position_embeddings=places,
        eos_token_id=vocabulary - 1,
        hidden_act='quick_gelu',
    )
    theirs = CLIPTextModelWithProjection(config).eval()
    for value in theirs.parameters():
        value.add_(0.02 * torch.randn_like(value))  # norms and biases, too
    ours = CLIPTextTower(width, depth, sentence, max_tokens=places, vocabulary_size=vocabulary)
    state = from_clip_text(theirs.state_dict())
    assert not differences(state, ours.state_dict())
    ours.load_state_dict(state)
    end = vocabulary - 1
    ids = torch.tensor([[end - 1, 3, 4, 5, end, 0, 0], [end - 1, 7, end, 0, 0, 0, 0]])
    mask = ids > 0
    expected = theirs(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
    x, causal = ours.embed(ids)
    for block, layer in zip(ours.blocks, expected.hidden_states[1:], strict=True):
        x = block(x, causal)
        torch.testing.assert_close(x[mask], layer[mask], rtol=0, atol=1e-10)
    words = ours(ids, mask).words
    torch.testing.assert_close(words[mask], expected.last_hidden_state[mask], rtol=0, atol=1e-10)
    torch.testing.assert_close(ours.sentence(words, mask), expected.text_embeds, rtol=0, atol=1e-10)


def by_hand(state: dict, depths: tuple, x: torch.Tensor, heads: int) -> list[torch.Tensor]:
    """The maps of CLIP's residual network with CRIS's pool, from what the papers and the weights' names say."""

    def norm(x, name):
        mean, var, weight, bias = (
            state[f'{name}.{part}'][:, None, None] for part in ('running_mean', 'running_var', 'weight', 'bias')
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def halve(x):
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    def mix(x, name):
        return torch.einsum('bchw,dc->bdhw', x, state[name][..., 0, 0])

    def linear(x, name):
        return x @ state[f'attnpool.{name}.weight'].T + state[f'attnpool.{name}.bias']

    for k in (1, 2, 3):
        x = norm(F.conv2d(x, state[f'conv{k}.weight'], stride=1 + (k == 1), padding=1), f'bn{k}').relu()
    x, outs = halve(x), []
    for i, depth in enumerate(depths, start=1):
        for j in range(depth):
            name, smaller = f'layer{i}.{j}', i > 1 and j == 0
            y = norm(mix(x, f'{name}.conv1.weight'), f'{name}.bn1').relu()
            y = norm(F.conv2d(y, state[f'{name}.conv2.weight'], padding=1), f'{name}.bn2').relu()
            y = norm(mix(halve(y) if smaller else y, f'{name}.conv3.weight'), f'{name}.bn3')
            if j == 0:
                x = norm(mix(halve(x) if smaller else x, f'{name}.downsample.0.weight'), f'{name}.downsample.1')
            x = (x + y).relu()
        outs.append(x)
    size = x.shape[2:]
    tokens = x.flatten(2).transpose(1, 2) + state['attnpool.positional_embedding'][1:]  # a map as large as the table
    query, key, value = (linear(tokens, f'{part}_proj').unflatten(2, (heads, -1)) for part in 'qkv')
    seen = (torch.einsum('bnhc,bmhc->bhnm', query, key) * query.shape[3] ** -0.5).softmax(3)
    heard = linear(torch.einsum('bhnm,bmhc->bnhc', seen, value).flatten(2), 'c_proj')
    past = norm(mix(x, 'attnpool.connect.0.weight'), 'attnpool.connect.1')
    return [*outs[:-1], (heard.transpose(1, 2).unflatten(2, size) + past).relu()]


@torch.no_grad()
@pytest.mark.parametrize(
    ('depths', 'width', 'grid'),
    [
        ((2, 1, 2, 1), 8, 2),
        pytest.param((3, 4, 6, 3), 64, 7, marks=slow('a model of full size in double precision')),
        pytest.param((3, 4, 23, 3), 64, 7, marks=slow('a model of full size in double precision')),
    ],
    ids=['small', 'RN50', 'RN101'],
)
def test_the_residual_network_is_that_of_its_description(depths, width, grid):
    encoder = CLIPResNetEncoder(depths, width, dict(out_channels=24, grid=grid), norm_outs=False).double().eval()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.weight, module.bias):
                value.add_(0.1 * torch.randn_like(value))
            module.running_var.uniform_(0.5, 1.5)
    photos = torch.randn(2, 3, 32 * grid, 32 * grid, dtype=torch.float64)
    expected = by_hand(encoder.state_dict(), depths, photos, heads=32 * width // 64)
    for out, by in zip(encoder(photos), expected, strict=True):
        torch.testing.assert_close(out, by, rtol=0, atol=1e-10 * max(1, float(by.abs().max())))


# All that OpenAI's class prints of its models, the temperature included
@pytest.mark.parametrize(
    ('image', 'sentence', 'total'),
    [
        (lambda: CLIPResNetEncoder((3, 4, 6, 3), 64, dict(out_channels=1024), norm_outs=False), 1024, 102_007_137),
        (lambda: CLIPResNetEncoder((3, 4, 23, 3), 64, dict(out_channels=512), norm_outs=False), 512, 119_688_033),
        (lambda: CLIPViTEncoder(projection_channels=512), 512, 149_620_737),
    ],
    ids=['RN50', 'RN101', 'ViT-B-16'],
)
def test_towers_have_the_published_sizes(image, sentence, total):
    with torch.device('meta'):
        towers = nn.ModuleList([image(), CLIPTextTower(sentence_channels=sentence)])
    ours = sum(p.numel() for name, p in towers.named_parameters() if 'connect' not in name)
    assert ours + 1 == total


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


@pytest.mark.parametrize('name', STATES)
def test_a_sentence_in_an_exported_graph_is_of_any_batch(name):
    class State(torch.nn.Module):
        def forward(self, words, mask):
            return STATES[name](words, mask)

    dynamic = {0: torch.export.Dim('batch', min=1)}
    words, mask = torch.randn(3, 5, 4), torch.ones(3, 5, dtype=torch.bool)
    graph = torch.export.export(State(), (words, mask), dynamic_shapes=(dynamic, dynamic)).module()
    assert graph(words[:2], mask[:2]).shape == (2, 4)


# Files


TOWERS = dict(
    resnet=lambda **kwargs: CLIPResNetEncoder(
        (1, 2, 1, 1), 8, dict(out_channels=16, grid=2), norm_outs=False, **kwargs
    ),
    vit=lambda **kwargs: CLIPViTEncoder(64, 4, 8, 3, projection_channels=16, **kwargs),
    text=lambda **kwargs: CLIPTextTower(64, 4, 16, max_tokens=5, vocabulary_size=9, **kwargs),
)
CONVERT = dict(resnet=from_clip_resnet, vit=from_clip_vit, text=from_clip_text)


class _Holder(nn.Module):
    """A module of some names, which computes nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def of_openai(image: str) -> dict[str, torch.Tensor]:
    """CLIP with one of the image towers, in halves, under its authors' names."""
    towers = {'visual.': TOWERS[image](), '': TOWERS['text']()}
    names = {}
    for prefix, tower in towers.items():
        for name, value in randomize(tower).half().state_dict().items():
            name = name.replace('blocks.', 'transformer.resblocks.').replace('mlp.0', 'mlp.c_fc')
            names[prefix + name.replace('mlp.2', 'mlp.c_proj')] = value
    return names | dict(logit_scale=torch.ones(()))


def as_archive(image: str, path: Path) -> dict:
    state = {name: value for name, value in of_openai(image).items() if 'connect' not in name}
    state |= {name: torch.tensor(7) for name in ('input_resolution', 'context_length', 'vocab_size')}
    root = _Holder()
    for name, value in state.items():
        *parents, last = name.split('.')
        module = root
        for parent in parents:
            if parent not in dict(module.named_children()):
                module.add_module(parent, _Holder())
            module = module.get_submodule(parent)
        module.register_buffer(last, value)
    torch.jit.script(root).save(path)
    return state


def as_checkpoint(image: str, path: Path) -> dict:
    """Of a model that has CLIP as its backbone, trained in several processes."""
    state = of_openai(image)
    whole = {f'module.backbone.{name}': value for name, value in state.items()}
    flow = {'module.backbone.transformer.resblocks.0.flow2.transforms.1.scale': torch.ones(1, 4)}
    flow |= {'module.backbone.visual.transformer.resblocks.0.flow.affine_transform.mu': torch.ones(4)}
    rest = {'module.neck.f1.weight': torch.ones(2)}
    torch.save(dict(epoch=3, state_dict=whole | rest | (flow if image == 'vit' else {})), path)
    return state


def as_hugging_face(image: str, path: Path) -> dict:
    text = dict(hidden_size=64, num_hidden_layers=4, num_attention_heads=1, intermediate_size=256, vocab_size=9)
    vision = dict(hidden_size=64, num_hidden_layers=4, num_attention_heads=1, intermediate_size=256, patch_size=8)
    text, vision = text | dict(max_position_embeddings=5), vision | dict(image_size=24)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    save_file(model.state_dict(), path.with_suffix('.safetensors'))
    return model.state_dict()


@pytest.mark.parametrize(
    ('image', 'save'),
    [('resnet', as_archive), ('vit', as_archive), ('resnet', as_checkpoint), ('vit', as_checkpoint)]
    + [('vit', as_hugging_face)],
)
def test_a_file_of_both_towers_loads_through_the_config(image, save, tmp_path):
    state = save(image, tmp_path / 'CLIP.pt')
    (path,) = tmp_path.iterdir()
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    for kind in (image, 'text'):
        tower = TOWERS[kind](init_cfg=init_cfg)
        connect = {k: v.clone() for k, v in tower.state_dict().items() if 'connect' in k and save is as_archive}
        tower.init_weights()
        expected = CONVERT[kind](state) | connect
        assert expected.keys() == tower.state_dict().keys()
        for name, value in expected.items():
            torch.testing.assert_close(tower.state_dict()[name], value, rtol=0, atol=0, check_dtype=False)


def test_parts_that_an_encoder_does_not_have_are_left_in_the_file(tmp_path):
    states = {image: as_archive(image, tmp_path / f'{image}.pt') for image in ('resnet', 'vit')}
    files = {image: dict(type='Pretrained', checkpoint=str(tmp_path / f'{image}.pt')) for image in states}
    encoders = [
        CLIPResNetEncoder((1, 2, 1, 1), 8, init_cfg=files['resnet']),
        CLIPViTEncoder(64, 4, 8, 5, init_cfg=files['vit']),
        CLIPTextTower(64, 4, None, max_tokens=5, vocabulary_size=9, init_cfg=files['vit']),
    ]
    for encoder in encoders:
        encoder.init_weights()
    names = 'visual.layer4.0.conv3.weight', 'visual.ln_pre.weight', 'ln_final.weight'
    loaded = encoders[0].layer4[0].conv3.weight, encoders[1].ln_pre.weight, encoders[2].ln_final.weight
    for name, value, image in zip(names, loaded, ('resnet', 'vit', 'vit'), strict=True):
        torch.testing.assert_close(value, states[image][name].float(), rtol=0, atol=0)
    # a table of another side is resized, its first row kept
    table = states['vit']['visual.positional_embedding'].float()
    assert encoders[1].positional_embedding.shape == (26, 64)
    torch.testing.assert_close(encoders[1].positional_embedding[0], table[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (lambda: CLIPResNetEncoder((1, 1, 1, 1), 8), 'does not fit CLIPResNetEncoder: .*layer2.1.conv1.weight is not'),
        (lambda: CLIPViTEncoder(64, 4, 8, 3), 'names that nothing here explains: .*attnpool'),
        (lambda: CLIPTextTower(64, 8, 16, 5, 9), 'does not fit CLIPTextTower: .*blocks.4.ln_1.weight is missing'),
    ],
)
def test_a_file_of_another_model_is_refused(wrong, message, tmp_path):
    as_archive('resnet', tmp_path / 'RN.pt')
    tower = wrong()
    tower.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'RN.pt'))
    with pytest.raises(ValueError, match=message):
        tower.init_weights()
