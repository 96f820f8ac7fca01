"""torch.compile: one graph from photo and words to logits, with the numbers of the model that is not compiled."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from slow import slow
from test_training_step import runner  # noqa: F401, a fixture

from mgfe_ris.apis import build_model, load_config

# tracing takes its time for each layer
FLAT = {'model.text_encoder.config.num_hidden_layers': 1}
CONFIGS = {
    'paper': 'mgfe-ris_swin-base_refcoco',
    'lavt': 'lavt_swin-base_refcoco',
    'tiny': 'mgfe-ris_tiny_refshapes',
}
pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture
def counted():
    """What dynamo has done since the test began: graphs, and breaks between them by their reason."""
    from torch._dynamo import reset
    from torch._dynamo.utils import counters

    reset()
    counters.clear()
    yield lambda: (counters['stats']['unique_graphs'], dict(counters['graph_break']))
    reset()


@pytest.fixture
def build(small_model, small_swin):
    def build(name: str, **options):
        small = small_model if name == 'tiny' else {**small_swin, **FLAT}
        torch.manual_seed(0)
        return build_model(load_config(CONFIGS[name], {**small, **options}, from_scratch=True))

    return build


def batch() -> tuple[torch.Tensor, ...]:
    """Photos, ids and mask; windows of 12 do not divide the photos."""
    generator = torch.Generator().manual_seed(1)
    photos = torch.randn(2, 3, 64, 64, generator=generator)
    return photos, torch.randint(1, 50, (2, 20), generator=generator), torch.arange(20) < torch.tensor([[7], [20]])


@pytest.mark.parametrize(
    ('config', 'training'),
    [
        ('paper', False),
        pytest.param('paper', True, marks=slow('10 s')),
        pytest.param('lavt', True, marks=slow('10 s')),
        ('tiny', True),
    ],
    ids=str,
)
def test_one_graph_with_the_numbers_of_eager(build, counted, config, training):
    eager = build(config).train(training)
    compiled = build(config, **{'model.compile.backend': 'eager'}).train(training)
    compiled.load_state_dict(eager.state_dict())
    results = []
    for model in (eager, compiled):
        torch.manual_seed(2)  # of the paths that are dropped
        with torch.set_grad_enabled(training):
            logits = model(*batch())
        if training:
            logits.square().mean().backward()
        results.append((logits, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    assert counted() == (1, {})
    (expected, gradients), (logits, of_compiled) = results
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)
    assert gradients.keys() == of_compiled.keys() and bool(gradients) == training
    for name, gradient in gradients.items():
        torch.testing.assert_close(of_compiled[name], gradient, rtol=1e-6, atol=1e-6, msg=name)


@slow('20 s')
def test_counts_of_sentences_share_a_graph_and_sizes_have_one_each(build, counted):
    model, eager = build('tiny', **{'model.compile.backend': 'eager'}).eval(), build('tiny').eval()
    image, ids, mask = batch()
    with torch.no_grad():
        for count in (2, 3, 5, 7):
            given = image[:1], ids[:1].expand(count, -1), mask[:1].expand(count, -1)
            torch.testing.assert_close(model(*given), eager(*given), rtol=1e-6, atol=1e-6)
        assert counted() == (2, {}), 'one of 2 sentences, one of any number'
        assert model(image[:1, :, :45], ids, mask).shape == (2, 2, 45, 64)
    assert counted() == (3, {})


def test_compiled_all_sentences_have_one_length(build):
    assert build('tiny').data_preprocessor.tokenizer(['ring'])[1].shape == (1, 3)
    ids, mask = build('tiny', **{'model.compile.backend': 'eager'}).data_preprocessor.tokenizer(['ring'])
    assert ids.shape == mask.shape == (1, 20) and mask.sum() == 3


@slow('3 min: it runs a C++ compiler')
def test_inductor_trains_on_sentences_of_any_length(request):
    built = request.getfixturevalue('runner')('tiny', **{'model.compile': True})
    built.val_loop.evaluator.evaluate = lambda count: dict(oIoU=1.0)
    built.train()
    assert built.iter > 1


def test_a_copy_of_a_compiled_model_runs_its_own_weights(build):
    model = build('tiny', **{'model.compile.backend': 'eager'}).eval()
    other = copy.deepcopy(model)
    other.decode_head.classify.weight.data.zero_()
    other.decode_head.classify.bias.data.zero_()
    with torch.no_grad():
        assert other(*batch()).abs().max() == 0 != model(*batch()).abs().max()


def test_the_runner_trains_and_validates_compiled_by_one_field(request, counted):
    built = request.getfixturevalue('runner')('tiny', **{'model.compile.backend': 'eager'})
    built.val_loop.evaluator.evaluate = lambda count: dict(oIoU=1.0)
    assert counted() == (0, {})
    seen = []
    built.register_hook(Watch(lambda: seen.append(counted())))
    built.train()
    (trained, breaks), (validated, breaks_too) = seen
    assert 0 < trained < validated and not breaks and not breaks_too


class Watch(Hook):
    def __init__(self, look):
        self.after_train_epoch = self.after_val_epoch = lambda *args, **kwargs: look()
