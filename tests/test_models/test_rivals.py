"""What stands at the places of G and DW in Tables 6 and 7, and in LAVT's own ablation, against their equations; and
parts of other systems that fit in the place of G."""

import math

import numpy as np
import pytest
import torch
from by_hand import (
    array,
    assert_agrees,
    assert_gradients,
    conv,
    gelu,
    instance_norm,
    linear,
    randomize,
    softmax,
)

from mgfe_ris.models.fusion import (
    BidirectionalAttention,
    CoAttention,
    CollectDiffuseAttention,
    ConvAttention,
    CrossModalAttention,
    EntityRelationGraph,
    FixedWeight,
    GroupedAttention,
    PooledSentence,
    SqueezeExcitation,
)

C, D = 4, 6
SIZES = [(8, 8), (7, 5), (3, 1), (1, 1)]


def maps(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def words_and_mask(batch):
    mask = torch.zeros(batch, 5, dtype=torch.bool)
    for i in range(batch):
        mask[i, : 2 + i] = True
    return maps(batch, 5, D), mask


def tokens(g):
    return g.reshape(len(g), -1).T


def windows(x, k):
    """Means of k x k windows, of the real pixels in the last ones: (windows, C)."""
    height, width = x.shape[1:]
    corners = [(i, j) for i in range(0, height, k) for j in range(0, width, k)]
    return np.stack([x[:, i : i + k, j : j + k].mean((1, 2)) for i, j in corners])


def relu(x):
    return np.maximum(x, 0)


def spoken_mean(words, mask):
    return words[mask > 0].mean(0) if mask.any() else np.zeros(words.shape[1])


def of_words(scores, mask):
    return softmax(scores + (1 - mask) * -1e4)


def co_attention(m, v, words, mask):
    x, size, width = tokens(v), v.shape[1:], len(v)
    s = spoken_mean(words, mask)
    joined = gelu(linear(m.pixel_sentence, np.stack([np.concatenate([pixel, s]) for pixel in x])))
    k = gelu(linear(m.word, words)) * mask[:, None]
    h = np.stack([of_words(k @ one / math.sqrt(width), mask) @ k for one in joined])
    q, k = (instance_norm(linear(part, y).T.reshape(v.shape)) for part, y in ((m.query, joined), (m.key, h)))
    pooled = len(x) > m.pool_above
    small = (-(-size[0] // 2), -(-size[1] // 2)) if pooled else size
    q, k = (windows(y, 2) if pooled else tokens(y) for y in (q, k))
    s = q @ k.T / math.sqrt(width)
    both = np.concatenate([softmax(s, axis=1) @ k, softmax(s, axis=0).T @ q], axis=1)
    line = np.pad(both, ((1, 1), (0, 0)))
    taps = array(m.output.weight)
    g = sum(line[i : i + len(both)] @ taps[:, :, i].T for i in range(3)) + array(m.output.bias)
    g = instance_norm(g.T.reshape(width, *small))
    return doubled(g, size) if pooled else g


def doubled(x, size):
    """Bilinear, the small map's pixels spread evenly over the large one (align_corners=False)."""
    lines = []
    for few, many in zip(x.shape[1:], size, strict=True):
        places = np.clip((np.arange(many) + 0.5) * few / many - 0.5, 0, few - 1)
        lines.append(np.stack([np.maximum(0, 1 - abs(places - i)) for i in range(few)], axis=1))
    return np.einsum('yh,xw,chw->cyx', *lines, x)


def bidirectional(m, v, words, mask):
    x, k = tokens(v), linear(m.word, words)
    heard = np.stack([of_words(k @ one, mask) @ k for one in relu(linear(m.pixel_query, x))])
    scores = np.tanh(linear(m.score_heard, heard) + linear(m.score_seen, relu(linear(m.pixel_key, x))))
    seen = softmax(linear(m.score, scores), axis=1) @ relu(linear(m.pixel_value, x))
    g = relu(linear(m.output, np.concatenate([seen, heard], axis=1))) + relu(linear(m.shortcut, x))
    return g.T.reshape(v.shape)


def collect_diffuse(m, v, words, mask):
    first, _, last = m.sentence
    sentence = linear(last, relu(linear(first, spoken_mean(words, mask)[None])))
    x = relu(linear(m.join, sentence * tokens(v)))
    query = linear(m.query, sentence)[0] / math.sqrt(len(v))
    collected = softmax(linear(m.collect, x) @ query) @ linear(m.value, x)
    share = 1 / (1 + np.exp(-linear(m.diffuse, x) @ query))
    return (x + share[:, None] * collected).T.reshape(v.shape)


def pooled_sentence(m, v, words, mask):
    language = linear(m.sentence, spoken_mean(words, mask)[None])[0]
    return gelu(conv(m.project, gelu(conv(m.visual, v)) * language[:, None, None]))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normed(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True).clip(1e-12)


def grouped(m, v, words, mask):
    query = linear(m.query, spoken_mean(words, mask)[None])[0]
    collect, diffuse, value = (conv(layer, v) for layer in (m.collect, m.diffuse, m.value))
    n, d = m.groups
    assert n * d == len(v) and n > 1
    o = np.zeros_like(v)
    for group in range(n):
        own = range(group * d, (group + 1) * d)
        a = softmax(sum(query[c] * collect[c] for c in own).ravel() / math.sqrt(d)).reshape(v.shape[1:])
        share = sigmoid(sum(query[c] * diffuse[c] for c in own) / math.sqrt(d))
        for c in own:
            o[c] = share * (a * value[c]).sum()
    o, norm = conv(m.output, o), m.norm
    scale = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
    shift = array(norm.bias) - scale * array(norm.running_mean)
    y = scale[:, None, None] * o + shift[:, None, None] + v
    return np.where(y > 0, y, 0.1 * y)


def cross_modal(m, v, words, mask):
    x = tokens(v)
    heard = np.stack([of_words(words @ one, mask) @ words for one in relu(linear(m.query, x))])
    seen_key, value = relu(linear(m.key, x)), relu(linear(m.value, x))
    hidden = np.tanh(heard @ array(m.score_heard.weight).T + seen_key @ array(m.score_seen.weight).T)
    out = np.zeros_like(x)
    for i, row in enumerate(array(m.score.weight)):
        for j, share in enumerate(softmax(np.array([row @ h for h in hidden]))):
            out[j] += share * value[i]
    g = relu(linear(m.output, np.concatenate([out, heard], axis=1))) + relu(linear(m.shortcut, x))
    return g.T.reshape(v.shape)


def layer_norm(norm, x):
    """Over the channels of each row."""
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + norm.eps)
    return x * array(norm.weight) + array(norm.bias)


def relation_graph(m, v, words, mask):
    (height, width), channels = v.shape[1:], len(v)
    words, words_there = normed(words), mask > 0
    first, _, last = m.parse
    kinds = softmax(linear(last, relu(linear(first, words))), axis=1)
    q = normed((kinds[:, 0] + kinds[:, 1])[words_there] @ words[words_there])
    places = np.array([
        (2 * j / width - 1, 2 * i / height - 1, 2 * (j + 1) / width - 1, 2 * (i + 1) / height - 1,
         (2 * j + 1) / width - 1, (2 * i + 1) / height - 1, 1 / width, 1 / height)
        for i in range(height) for j in range(width)
    ])  # fmt: skip
    heads = np.tanh(linear(m.mutan_pixels, np.hstack([tokens(v), places]))) * np.tanh(linear(m.mutan_entity, q[None]))
    nodes = normed(np.tanh(sum(heads[:, h * channels : (h + 1) * channels] for h in range(5))))
    b = linear(m.node, nodes) @ linear(m.relation, words).T / math.sqrt(channels) * kinds[:, 2]
    b = b[:, words_there]
    edges = softmax(b, axis=1) @ softmax(b, axis=0).T
    moved = relu(nodes + layer_norm(m.message_norm, edges @ nodes))
    moved = normed(relu(layer_norm(m.update_norm, linear(m.update, moved))))
    every = np.tile(q, (len(nodes), 1))
    return relu(linear(m.output, np.hstack([nodes, moved, every, places]))).T.reshape(v.shape)


def as_in_tests(module):
    """After a training: batch norms have seen something."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return module.eval()


# How each is built for maps of a size, and what it must give
ATTENTIONS = {
    'co': (lambda size: CoAttention(C, D, pool_above=100), co_attention),
    'co, pooled': (lambda size: CoAttention(C, D, pool_above=2), co_attention),
    'bidirectional': (lambda size: BidirectionalAttention(C, D, size), bidirectional),
    'collect': (lambda size: CollectDiffuseAttention(C, D), collect_diffuse),
    'sentence': (lambda size: PooledSentence(C, D), pooled_sentence),
    'grouped': (lambda size: as_in_tests(GroupedAttention(C, D)), grouped),
    'cross-modal': (lambda size: CrossModalAttention(C, D, size), cross_modal),
    'relation graph': (lambda size: EntityRelationGraph(C, D), relation_graph),
}
each_attention = pytest.mark.parametrize(('build', 'reference'), ATTENTIONS.values(), ids=ATTENTIONS.keys())


@pytest.mark.parametrize('size', SIZES[:3], ids='size={}'.format)  # of one pixel, a norm leaves 0
@each_attention
def test_in_the_place_of_g_it_agrees_with_the_equations(build, reference, size):
    assert_agrees(randomize(build(size)), reference, maps(2, C, *size), *words_and_mask(2))


@each_attention
def test_padding_is_not_heard_and_words_are(build, reference):
    v, (words, mask) = maps(2, C, 4, 4), words_and_mask(2)
    module = randomize(build((4, 4)))
    changed = words.clone()
    changed[~mask] += 1
    torch.testing.assert_close(module(v, changed, mask), module(v, words, mask), rtol=0, atol=1e-12)
    changed[0, 0] += 1
    assert not torch.allclose(module(v, changed, mask)[0], module(v, words, mask)[0])
    nothing = torch.zeros_like(mask)
    assert module(v, words, nothing).isfinite().all()
    order = torch.tensor([3, 0, 4, 2, 1])  # words among padding: the mask says which, not the place
    torch.testing.assert_close(module(v, words[:, order], mask[:, order]), module(v, words, mask), rtol=0, atol=1e-12)


@each_attention
def test_sentences_about_one_photo_share_it(build, reference):
    v, (words, mask) = maps(1, C, 4, 4), words_and_mask(2)
    module = randomize(build((4, 4)))
    repeated = module(v.repeat(2, 1, 1, 1), words, mask)
    torch.testing.assert_close(module(v, words, mask), repeated, rtol=0, atol=1e-12)


@each_attention
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_it_runs_in_mixed_precision(build, reference, dtype):
    v, (words, mask) = maps(2, C, 4, 4).float(), words_and_mask(2)
    module = randomize(build((4, 4))).float()
    exact = module(v, words.float(), mask)
    with torch.autocast('cpu', dtype=dtype):
        half = module(v, words.float(), mask)
    assert half.isfinite().all()
    assert (half - exact).norm() < 0.1 * exact.norm()


@each_attention
def test_gradients_agree_with_finite_differences(build, reference):
    many = reference is relation_graph
    assert_gradients(randomize(build((2, 3))), maps(1, C, 2, 3), *words_and_mask(1), fast=many)


tied = pytest.mark.parametrize('kind', [BidirectionalAttention, CrossModalAttention])


@pytest.mark.parametrize('size', [0, (4, 0), (4, 4, 4)], ids=str)
@tied
def test_a_size_that_is_no_maps_is_refused(kind, size):
    with pytest.raises(ValueError, match='map_size must be the side'):
        kind(C, D, size)


@tied
def test_a_map_of_another_size_than_its_weights_is_refused_by_name(kind):
    module = kind(C, D, 4)
    words, mask = words_and_mask(1)
    with pytest.raises(ValueError, match=rf'{kind.__name__} was built for maps of \(4, 4\), and got \(2, 8\)'):
        module(maps(1, C, 2, 8).float(), words.float(), mask)


def test_groups_must_divide():
    with pytest.raises(ValueError, match=r'channels \(6\) must be a multiple of num_heads \(4\)'):
        GroupedAttention(6, D, num_heads=4)


def test_what_grouped_attention_collects_drops_out_in_training():
    v, (words, mask) = maps(2, C, 4, 4), words_and_mask(2)
    module = randomize(GroupedAttention(C, D, dropout=0.5))
    assert not torch.equal(module(v, words, mask), module(v, words, mask))
    assert torch.equal(module.eval()(v, words, mask), module(v, words, mask))


@pytest.mark.parametrize('weigh', [ConvAttention(2), SqueezeExcitation(4)], ids=['conv', 'se'])
def test_gradients_of_weights_agree_with_finite_differences(weigh):
    channels = 2 if isinstance(weigh, ConvAttention) else 4
    assert_gradients(randomize(weigh), maps(1, channels, 2, 3), maps(1, channels, 2, 3))


def conv_attention(m, g, refined):
    a = 1 / (1 + np.exp(-conv(m.map, np.concatenate([refined, g]))))
    return a * refined + (1 - a) * g


def squeeze_excitation(m, g, refined):
    x = g + refined
    first, _, last, _ = m.excite
    hidden = np.maximum(array(first.weight)[:, :, 0, 0] @ x.mean((1, 2)) + array(first.bias), 0)
    s = 1 / (1 + np.exp(-(array(last.weight)[:, :, 0, 0] @ hidden + array(last.bias))))
    return s[:, None, None] * x


@pytest.mark.parametrize('size', SIZES, ids='size={}'.format)
@pytest.mark.parametrize(
    ('module', 'reference'),
    [
        (ConvAttention(C), conv_attention),
        (SqueezeExcitation(C), squeeze_excitation),
        (FixedWeight(C, 0.3), lambda m, g, refined: 0.3 * refined + 0.7 * g),
    ],
    ids=['conv', 'se', 'fixed'],
)
def test_weights_agree_with_the_equations(module, reference, size):
    assert_agrees(randomize(module), reference, maps(2, C, *size), maps(2, C, *size))


def test_they_begin_where_they_say():
    g, refined = 1e-4 * torch.randn(2, C, 4, 4), 1e-4 * torch.randn(2, C, 4, 4)
    half = (g + refined) / 2
    torch.testing.assert_close(FixedWeight(C)(g, refined), half)
    torch.testing.assert_close(ConvAttention(C)(g, refined), half)
    begin = 1 / (1 + math.exp(-1))
    with torch.no_grad():
        bias_of_hidden = SqueezeExcitation(C)
        bias_of_hidden.excite[0].bias.zero_()
        torch.testing.assert_close(bias_of_hidden(g, refined), begin * (g + refined), rtol=0, atol=1e-7)


def test_widths_must_divide():
    with pytest.raises(ValueError, match=r'channels \(6\) must be a multiple of reduction \(4\)'):
        SqueezeExcitation(6)
