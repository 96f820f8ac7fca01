"""ReferringSegmentor: the tiny model of the configs, 20 times smaller still."""

import copy

import pytest
import torch
from mmengine import Config
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mgfe_ris.models import ReferringSegmentor

ODD = (45, 37)
MODEL = 'configs/_base_/models/mgfe-ris_tiny.py'


@pytest.fixture(scope='session')
def build(small_model, pytestconfig):
    """A model in eval mode, with options on top."""

    def build(**options):
        cfg = Config.fromfile(pytestconfig.rootpath / MODEL)
        cfg.merge_from_dict({**small_model, **options})
        torch.manual_seed(0)
        assert cfg.model.pop('type') == 'ReferringSegmentor'
        model = ReferringSegmentor(**cfg.model)
        model.init_weights()
        return model.eval()

    return build


@pytest.fixture(scope='session')
def built(build):
    return build()


@pytest.fixture
def model(built):
    """Each test has a copy."""
    return copy.deepcopy(built)


def photos(model, *sentences, size=ODD):
    """What the preprocessor makes of one random photo and target per sentence."""
    samples = [
        SegDataSample(
            metainfo=dict(sentence=sentence),
            gt_sem_seg=PixelData(data=torch.randint(2, (1, *size))),
        )
        for sentence in sentences
    ]
    inputs = [torch.randint(256, (3, *size), dtype=torch.uint8) for _ in sentences]
    return model.data_preprocessor(dict(inputs=inputs, data_samples=samples))


def only(batch, i):
    return {key: value[i : i + 1] for key, value in batch.items()}


SENTENCES = ('the red ring', 'blue star left of the small green square')


# What language does


def test_ids_at_padded_places_change_nothing_bitwise(model):
    batch = photos(model, *SENTENCES)
    before = model(**batch)
    others = torch.where(batch['word_mask'], batch['token_ids'], torch.randint(5, 401, batch['token_ids'].shape))
    assert not torch.equal(others, batch['token_ids'])
    assert torch.equal(model(**{**batch, 'token_ids': others}), before)


def test_more_padding_changes_nothing(build, model):
    tokenizer = dict(pretrained=None, max_tokens=31, trim=False)
    longer = build(**{'model.data_preprocessor.tokenizer': tokenizer})
    torch.manual_seed(1)
    batch = photos(model, *SENTENCES)
    torch.manual_seed(1)
    padded = photos(longer, *SENTENCES)
    assert padded['token_ids'].shape[1] == 31 > batch['token_ids'].shape[1]
    torch.testing.assert_close(longer(**padded), model(**batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize('other', ['the blue ring', 'the ring red', 'red ring', 'the red ring ring'])
def test_another_sentence_gives_another_result(model, other):
    first, second = photos(model, 'the red ring', other)['token_ids'].unbind()
    batch = photos(model, 'the red ring')
    same_photo = {**batch, 'token_ids': second[None], 'word_mask': second[None] != 0}
    assert not torch.equal(first, second)
    assert (model(**same_photo) - model(**batch)).abs().max() > 1e-4


@pytest.mark.parametrize('size', [ODD, (32, 64)], ids='size={}'.format)
def test_a_batch_of_two_is_two_batches_of_one(model, size):
    batch = photos(model, *SENTENCES, size=size)
    alone = torch.cat([model(**only(batch, i)) for i in range(2)])
    torch.testing.assert_close(model(**batch), alone, rtol=0, atol=1e-5)


def gradients(model, batch):
    model.zero_grad()
    sum(model(**batch, mode='loss').values()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_the_gradient_of_a_photo_twice_is_the_gradient_of_the_photo(model):
    model = model.double()
    once = photos(model, SENTENCES[0])
    once['inputs'] = once['inputs'].double()
    twice = {key: value * 2 if isinstance(value, list) else torch.cat([value] * 2) for key, value in once.items()}
    a, b = gradients(model, once), gradients(model, twice)
    wrong = [name for name in a if not torch.allclose(a[name], b[name], rtol=1e-6, atol=1e-10)]
    assert wrong == []


# Modes


@pytest.mark.parametrize('size', [ODD, (32, 64), (31, 33)], ids='size={}'.format)
def test_tensor_gives_two_class_logits_at_the_size_of_the_photo(model, size):
    logits = model(**photos(model, *SENTENCES, size=size), mode='tensor')
    assert logits.shape == (2, 2, *size)
    assert logits.isfinite().all() and logits.std() > 1e-3


def test_tensor_needs_no_samples(model):
    batch = photos(model, *SENTENCES)
    del batch['data_samples']
    assert model(**batch).shape == (2, 2, *ODD)


def test_loss_is_the_loss_of_the_logits_and_the_targets(model):
    batch = photos(model, *SENTENCES)
    losses = model(**batch, mode='loss')
    target = torch.stack([sample.gt_sem_seg.data[0] for sample in batch['data_samples']])
    expected = model.loss_function(model(**batch), target)
    assert losses.keys() == {'loss_dice', 'loss_focal'}
    for name, value in losses.items():
        assert value.isfinite() and value > 0
        torch.testing.assert_close(value, expected[name])


def test_a_loss_of_one_term_is_named(build):
    model = build(**{'model.loss': dict(_delete_=True, type='WeightedCrossEntropyLoss')})
    losses = model(**photos(model, *SENTENCES), mode='loss')
    assert losses.keys() == {'loss'} and losses['loss'] > 0


def test_predict_writes_the_logits_and_their_argmax_into_the_samples(model):
    batch = photos(model, *SENTENCES)
    logits = model(**batch)
    samples = model(**batch, mode='predict')
    for sample, given, logit in zip(samples, batch['data_samples'], logits, strict=True):
        assert sample is given
        assert torch.equal(sample.seg_logits.data, logit)
        assert sample.pred_sem_seg.data.shape == (1, *ODD)
        assert torch.equal(sample.pred_sem_seg.data[0] == 1, logit[1] > logit[0])


def test_the_mask_has_the_size_of_the_truth(model):
    """As metrics of other packages want it: between the pixels of the input, where the logits cross."""
    (sample,) = photos(model, 'red ring', size=(1, 2))['data_samples']
    sample.gt_sem_seg = PixelData(data=torch.ones(1, 1, 8, dtype=torch.long))
    logits = torch.tensor([[[0.0, 0.0]], [[3.0, -1.0]]])  # (2, 1, 2); 3 falls to -1 between the centres 1.5 and 5.5
    model.predict(logits[None], [sample])
    assert sample.pred_sem_seg.data.tolist() == [[[1, 1, 1, 1, 1, 0, 0, 0]]]
    assert torch.equal(sample.seg_logits.data, logits)


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_loss_and_predict_need_samples(model, mode):
    with pytest.raises(ValueError, match=f"mode '{mode}' needs data_samples"):
        model(**{**photos(model, 'ring'), 'data_samples': None}, mode=mode)


def test_an_unknown_mode_is_refused(model):
    with pytest.raises(ValueError, match="mode must be 'tensor', 'loss' or 'predict'; got 'losses'"):
        model(**photos(model, 'ring'), mode='losses')


# Training


def stirred(model):
    """No parameter at 0: a residual block begins there, and holds back the gradients of its inner layers."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


# Their gradient is 0 but for rounding, whatever the photo. What is the same for all pixels does not pass an
# instance norm, and what is the same for all words neither a softmax (as keys) nor that norm (as values)
WITHOUT_EFFECT = (
    *(f'neck.attention.{stage}.{layer}.bias' for stage in range(4) for layer in ('query', 'key', 'value', 'output')),
    'text_encoder.model.encoder.layer.0.attention.self.key.bias',
    'text_encoder.model.encoder.layer.0.output.LayerNorm.bias',
)


def test_each_parameter_has_a_finite_gradient_and_only_those_named_here_one_of_zero(model):
    model = stirred(model).double().train()
    batch = photos(model, *SENTENCES, size=(64, 64))
    batch['inputs'] = batch['inputs'].double()
    sum(model(**batch, mode='loss').values()).backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, g in grads.items() if g is None] == []
    assert [name for name, g in grads.items() if not g.isfinite().all()] == []
    assert {name for name, g in grads.items() if g.abs().max() < 1e-12} == set(WITHOUT_EFFECT)


def test_lavt_freezes_the_last_gate_which_alone_gets_no_gradient(build):
    """Its feedback would go into a fifth stage, and the decoder reads G."""
    model = build(
        **{
            'model.neck.refine': None,
            'model.neck.weigh': dict(_delete_=True, type='LanguageGate'),
            'model.neck.decoder_reads': 'G',
        }
    )
    sum(model(**photos(model, *SENTENCES), mode='loss').values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == ['neck.weigh.3.gate.0.weight', 'neck.weigh.3.gate.2.weight']
    assert without == [name for name, p in model.named_parameters() if not p.requires_grad]


def test_init_weights_reaches_each_part(model):
    assert all(part.phi[2].bias.eq(1).all() for part in model.neck.weigh)
    assert model.encoder.position_map.std() > 0.01


def test_learns_to_tell_two_sentences_about_one_photo_apart(model):
    """A wiring without language could match one of the two masks at most."""
    model.train()
    batch = photos(model, 'left one', 'right one', size=(32, 32))
    batch['inputs'][1] = batch['inputs'][0]
    for sample, columns in zip(batch['data_samples'], (slice(0, 16), slice(16, 32)), strict=True):
        sample.gt_sem_seg.data.zero_()[..., columns] = 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        sum(model(**batch, mode='loss').values()).backward()
        optimizer.step()
    right = [
        (sample.pred_sem_seg.data == sample.gt_sem_seg.data).float().mean().item()
        for sample in model(**batch, mode='predict')
    ]
    assert min(right) > 0.9


def test_a_training_step_changes_the_model_and_reports_its_loss(model):
    batch = photos(stirred(model).train(), *SENTENCES)
    raw = dict(
        inputs=list(torch.randint(256, (2, 3, *ODD), dtype=torch.uint8)),
        data_samples=batch['data_samples'],
    )
    before = copy.deepcopy(model.state_dict())
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
    logged = model.train_step(raw, wrapper)
    torch.testing.assert_close(logged['loss'], logged['loss_dice'] + logged['loss_focal'])
    after = model.state_dict()
    same = [name for name in after if torch.equal(after[name], before[name])]
    assert [name for name in same if 'bias' not in name] == ['data_preprocessor.vocabulary']


# Half precision


@pytest.mark.parametrize('sentences', [('ring',), SENTENCES], ids=['one word', 'two sentences'])
@pytest.mark.parametrize('size', [ODD, (64, 64), (31, 33)], ids='size={}'.format)
def test_bf16_is_finite_and_near_fp32(model, size, sentences):
    batch = photos(model, *sentences, size=size)
    exact = model(**batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = model(**batch)
    assert half.dtype == torch.bfloat16 and half.isfinite().all()
    assert (half - exact).norm() < 0.1 * (exact - exact.mean()).norm()


def test_bf16_trains_with_finite_gradients(model):
    batch = photos(model.train(), *SENTENCES)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = sum(model(**batch, mode='loss').values())
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in model.parameters())


# One photo, several sentences

ABOUT_ONE_PHOTO = ('left ring', 'the large red cup on the left', 'star', 'cup behind')


@pytest.mark.parametrize('decoder_reads', ['V+F', 'F', 'G'])
def test_sentences_about_one_photo_share_it_and_are_segmented_as_one_by_one(build, decoder_reads):
    model = build(**{'model.neck.decoder_reads': decoder_reads}).double()
    photo = torch.randint(256, (3, *ODD), dtype=torch.uint8)
    samples = [SegDataSample(metainfo=dict(sentence=sentence)) for sentence in ABOUT_ONE_PHOTO]
    seen = []
    model.encoder.layer1.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    batch = model.data_preprocessor(dict(inputs=[photo.clone() for _ in samples], data_samples=samples))
    assert batch['inputs'].shape == (1, 3, *ODD) and len(batch['token_ids']) == 4
    together = model(**{**batch, 'inputs': batch['inputs'].double()})
    assert seen == [1]
    for i, sample in enumerate(samples):
        alone = model.data_preprocessor(dict(inputs=[photo], data_samples=[sample]))
        torch.testing.assert_close(
            together[i : i + 1], model(**{**alone, 'inputs': alone['inputs'].double()}), rtol=0, atol=1e-9
        )
