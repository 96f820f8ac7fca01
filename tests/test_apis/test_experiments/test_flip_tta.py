"""Flip test-time augmentation: two readings of a batch, and their mean."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData

from mgfe_ris.apis import FlipTTA, load_model
from mgfe_ris.engine import unwrap
from mgfe_ris.models import ReferringSegmentor
from mgfe_ris.structures import MaskRule, SegDataSample


class Reading(BaseModel):
    """Says which words it read; its logits are those of ``answer``."""

    mask_rule = MaskRule()
    predict = ReferringSegmentor.predict

    def __init__(self, answer):
        super().__init__()
        self.answer, self.read = answer, []

    def forward(self, inputs, data_samples, mode='tensor'):
        self.read.append([sample.sentence for sample in data_samples])
        logits = [
            self.answer(photo.float(), sample.sentence) for photo, sample in zip(inputs, data_samples, strict=True)
        ]
        return self.predict(logits, data_samples)


def batch(*sentences: str, size: tuple[int, int] = (4, 6)) -> dict:
    """A photo and its truth per sentence."""
    torch.manual_seed(0)
    data = dict(inputs=[], data_samples=[])
    for i, sentence in enumerate(sentences):
        sample = SegDataSample(metainfo=dict(sentence=sentence, sent_id=i, img_path='a.jpg', ori_shape=(8, 12)))
        sample.gt_sem_seg = PixelData(data=torch.randint(2, (1, *size)))
        data['inputs'].append(torch.randint(256, (3, *size), dtype=torch.uint8))
        data['data_samples'].append(sample)
    return data


def bright_side(photo: torch.Tensor, sentence: str) -> torch.Tensor:
    """Equivariant: what is bright, more so to the side that the sentence names."""
    ramp = torch.linspace(-3, 3, photo.shape[-1])
    side = -ramp if 'left' in sentence else ramp if 'right' in sentence else 0 * ramp
    return torch.stack([photo[0], photo[1] + side])


def test_the_mirror_image_has_the_other_word():
    model = Reading(bright_side)
    FlipTTA(model).test_step(batch('Left dog', 'leftmost one on the right', 'the bright dog'))
    assert model.read == [
        ['Left dog', 'leftmost one on the right', 'the bright dog'],
        ['Right dog', 'rightmost one on the left', 'the bright dog'],
    ]


def test_nothing_changes_for_an_equivariant_model():
    asked = ('left dog', 'right dog', 'dog')
    plain, averaged = (
        Reading(bright_side).test_step(batch(*asked)),
        FlipTTA(Reading(bright_side)).test_step(batch(*asked)),
    )
    for one, other, sample in zip(plain, averaged, batch(*asked)['data_samples'], strict=True):
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        assert other.metainfo == sample.metainfo and torch.equal(other.gt_sem_seg.data, sample.gt_sem_seg.data)


def test_logits_are_averaged_in_the_photos_frame():
    """A model that marks the first column, whatever it is asked."""

    def first_column(photo, sentence):
        logits = torch.zeros(2, *photo.shape[-2:])
        logits[1, :, 0] = 4
        return logits

    (sample,) = FlipTTA(Reading(first_column)).test_step(batch('left'))
    expected = torch.zeros(4, 6)
    expected[:, [0, -1]] = 2
    assert torch.equal(sample.seg_logits.data[1], expected)
    assert torch.equal(sample.pred_sem_seg.data[0] == 1, expected > 0)


def test_a_sentence_that_does_not_turn_is_read_once():
    def brightness(photo, sentence):
        return photo[:2] + torch.linspace(0, 9, photo.shape[-1])

    asked = ('guy at 3 o clock', 'left guy')
    plain, averaged = (model.test_step(batch(*asked)) for model in (Reading(brightness), FlipTTA(Reading(brightness))))
    same = [torch.equal(one.seg_logits.data, other.seg_logits.data) for one, other in zip(plain, averaged, strict=True)]
    assert same == [True, False]


@pytest.mark.parametrize('photos', ['one', 'several', 'stacked'])
def test_around_a_real_model(model_folder, photos):
    """By hand: two forwards, of a batch about one photo, which the model computes once, and of several."""
    model = load_model(model_folder, device='cpu')
    data = batch('left ring', 'red moon', size=(64, 64))
    if photos == 'one':
        data['inputs'][1] = data['inputs'][0]
    mirrored = [photo.flip(-1) for photo in data['inputs']]
    if photos == 'stacked':
        data['inputs'] = torch.stack(data['inputs'])
    with torch.no_grad():
        found = FlipTTA(model).test_step(data)
        logits = [
            model(**model.data_preprocessor(dict(inputs=inputs, data_samples=samples), False), mode='tensor')
            for inputs, samples in (
                (data['inputs'], data['data_samples']),
                (mirrored, [SegDataSample(metainfo=dict(sentence=text)) for text in ('right ring', 'red moon')]),
            )
        ]
    expected = (logits[0] + logits[1].flip(-1)) / 2
    assert torch.equal(torch.stack([sample.seg_logits.data for sample in found]), expected)
    assert not torch.equal(expected, logits[0])


def test_the_model_is_found_inside():
    model = Reading(bright_side)
    assert unwrap(FlipTTA(FlipTTA(model))) is model


@pytest.mark.parametrize('mirrored', [-3.0, 1.0])
def test_whether_nothing_is_meant_is_averaged_too(mirrored):
    """Of a model that says it: both readings count."""

    class Doubting(Reading):
        def forward(self, inputs, data_samples, mode='tensor'):
            samples = super().forward(inputs, data_samples)
            no_target = torch.tensor([2.0 if sample.sentence == 'left dog' else mirrored for sample in samples])
            return self.predict([sample.seg_logits.data for sample in samples], samples, no_target)

    def everything(photo, sentence):
        return torch.stack([0 * photo[0], 0 * photo[0] + 1])

    (sample,) = FlipTTA(Doubting(everything)).test_step(batch('left dog'))
    assert sample.no_target_logit == (2 + mirrored) / 2
    assert sample.pred_sem_seg.data.any() == (mirrored < -2)
