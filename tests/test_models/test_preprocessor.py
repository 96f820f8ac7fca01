"""ReferringDataPreProcessor: photos and sentences in, the model's arguments out."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mgfe_ris.models import ReferringDataPreProcessor

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)  # RGB


def sample(sentence, size=(2, 3)):
    truth = PixelData(data=torch.ones(1, *size, dtype=torch.int64))
    return SegDataSample(metainfo=dict(sentence=sentence), gt_sem_seg=truth)


def batch(*sizes):
    photos = [torch.randint(256, (3, *size), dtype=torch.uint8) for size in sizes]
    return dict(inputs=photos, data_samples=[sample('the red ring', size) for size in sizes])


def one_colour(blue, green, red):
    photo = torch.tensor([blue, green, red], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 3)
    return dict(inputs=[photo], data_samples=[sample('ring')])


@pytest.mark.parametrize(
    ('bgr', 'normal'),
    [
        ((100, 110, 120), (0, 0, 0)),
        ((140, 160, 180), (1, 1, 1)),
        ((20, 60, 0), (-2, -1, -2)),
        ((255, 110, 120), (0, 0, 3.875)),
    ],
)
def test_bgr_photos_become_rgb_with_mean_0_and_deviation_1(bgr, normal):
    inputs = ReferringDataPreProcessor(MEAN, STD)(one_colour(*bgr))['inputs']
    assert inputs.dtype == torch.float32 and inputs.shape == (1, 3, 2, 3)
    expected = torch.tensor(normal).view(1, 3, 1, 1).expand_as(inputs)
    torch.testing.assert_close(inputs, expected.float(), rtol=0, atol=1e-6)


def test_rgb_photos_keep_their_order_when_told():
    inputs = ReferringDataPreProcessor(MEAN, STD, bgr_to_rgb=False)(one_colour(180, 110, 100))['inputs']
    assert inputs[0, :, 0, 0].tolist() == [1, 0, 0]


def test_copies_to_the_device_do_not_wait(monkeypatch):
    copies = []

    def to(tensor, *args, **options):
        copies.append(options.get('non_blocking'))
        return copy(tensor, *args, **options)

    preprocessor, copy = ReferringDataPreProcessor(MEAN, STD), torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, 'to', to)
    preprocessor(batch((4, 5), (4, 5)), training=True)
    assert copies == [True] * 6, 'two photos, two truths, ids and mask of the words'


def test_photos_come_as_a_list_or_stacked_and_are_not_changed():
    preprocessor, data = ReferringDataPreProcessor(MEAN, STD), batch((4, 5), (4, 5))
    before = [photo.clone() for photo in data['inputs']]
    listed = preprocessor(data)['inputs']
    assert all(map(torch.equal, data['inputs'], before))
    stacked = preprocessor({**data, 'inputs': torch.stack(data['inputs'])})['inputs']
    assert torch.equal(listed, stacked)
    for photo, result in zip(before, listed, strict=True):
        expected = (photo.flip(0) - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        torch.testing.assert_close(result, expected)


@pytest.mark.parametrize('training', [False, True])
def test_returns_the_models_arguments(training):
    data = ReferringDataPreProcessor(MEAN, STD, tokenizer=dict(max_tokens=7))(batch((4, 5), (4, 5)), training)
    assert data.keys() == {'inputs', 'token_ids', 'word_mask', 'data_samples'}
    assert data['token_ids'].shape == data['word_mask'].shape == (2, 7)
    assert (data['token_ids'].dtype, data['word_mask'].dtype) == (torch.int64, torch.bool)
    assert data['word_mask'].sum(1).tolist() == [5, 5]
    assert [s.sentence for s in data['data_samples']] == ['the red ring'] * 2
    assert data['data_samples'][0].gt_sem_seg.data.shape == (1, 4, 5)


@pytest.mark.parametrize(('training', 'number'), [(False, 1), (True, 3)])
def test_one_photo_of_several_sentences_comes_once_in_evaluation(training, number):
    data = batch((4, 5), (4, 5), (4, 5))
    data['inputs'] = [data['inputs'][0].clone() for _ in range(3)]
    made = ReferringDataPreProcessor(MEAN, STD)(data, training)
    assert made['inputs'].shape == (number, 3, 4, 5) and len(made['token_ids']) == len(made['data_samples']) == 3


def test_photos_that_differ_in_a_pixel_all_come():
    data = batch((4, 5), (4, 5))
    data['inputs'] = [data['inputs'][0], data['inputs'][0].clone()]
    data['inputs'][1][2, 3, 4] += 1
    assert ReferringDataPreProcessor(MEAN, STD)(data)['inputs'].shape == (2, 3, 4, 5)


def test_photos_of_different_sizes_are_refused_with_their_sizes():
    with pytest.raises(ValueError, match=r'differ in size: \[\(4, 5\), \(4, 6\)\].*batch_size=1'):
        ReferringDataPreProcessor(MEAN, STD)(batch((4, 5), (4, 6)))


def test_an_empty_sentence_is_refused():
    data = batch((4, 5), (4, 5))
    data['data_samples'][1] = sample(' ')
    with pytest.raises(ValueError, match='sentence 1 of the batch is empty'):
        ReferringDataPreProcessor(MEAN, STD)(data)


def test_a_checkpoint_carries_the_fingerprint_of_the_words_and_nothing_else():
    assert list(ReferringDataPreProcessor(MEAN, STD).state_dict()) == ['vocabulary']
