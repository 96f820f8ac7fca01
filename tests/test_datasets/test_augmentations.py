"""Flips, crops, jitters and dropped words: pixels and sentences change together."""

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, TRANSFORMS

from mgfe_ris.apis import load_config
from mgfe_ris.datasets import ColourJitter, CropWithTarget, FlipWithWords, WordDropout
from mgfe_ris.datasets.augmentations import swap_left_right, turns_with_photo

HEIGHT, WIDTH = 24, 37


@pytest.fixture
def sample() -> dict:
    """As after LoadPhoto, LoadReferringMask and PickSentence."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:11, 3] = mask[8, 3:20] = 1
    mask[20, 30] = 255  # ignored
    return dict(
        img=np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        img_shape=(HEIGHT, WIDTH),
        ori_shape=(HEIGHT, WIDTH),
        gt_seg_map=mask,
        segmentation=[[0, 0, 1, 1, 0, 1]],
        sentences=['Left dog', 'the right-most dog', 'brown dog'],
        sent_ids=[40, 41, 42],
        sentence='brown dog',
        sent_id=42,
    )


def without(sample: dict, *keys: str) -> dict:
    return {key: value for key, value in sample.items() if key not in keys}


def test_all_are_registered():
    for transform in (ColourJitter, CropWithTarget, FlipWithWords, WordDropout):
        assert type(TRANSFORMS.build(dict(type=transform.__name__))) is transform


# Flip


@pytest.mark.parametrize(
    ('sentence', 'swapped'),
    [
        ('left dog', 'right dog'),
        ('dog, right.', 'dog, left.'),
        ('Left dog', 'Right dog'),
        ('RIGHT', 'LEFT'),
        ('LEFTMOST', 'RIGHTMOST'),
        ('the rightmost of the left ones', 'the leftmost of the right ones'),
        ('right-most, left most', 'left-most, right most'),
        ('left-hand and lefthand side', 'right-hand and righthand side'),
        ('the left-handed batter, Righthanded', 'the right-handed batter, Lefthanded'),
        ("the left's hat", "the right's hat"),
        ('rightside, leftward, rightwards, lefty', 'leftside, rightward, leftwards, righty'),
        ('topleft, BottomRight, far-left', 'topright, BottomLeft, far-right'),
        ('(left)/right "left" left2 _right_', '(right)/left "right" right2 _left_'),
        ('bright cleft leftover copyright upright leftovers righteous brightly', None),
        ('the leftéd rightß', None),
        ('the brown dog', None),
        ('', None),
    ],
)
def test_left_and_right_are_exchanged(sentence, swapped):
    assert swap_left_right(sentence) == (sentence if swapped is None else swapped)
    assert swap_left_right(swap_left_right(sentence)) == sentence


@pytest.mark.parametrize(
    ('sentence', 'turns'),
    [
        ('second bed frm left', True),
        ('2nd from right', True),
        ('the leftmost one, right-handed, topleft, far right side', True),
        ("FAR RIGHT, the left's hand", True),
        ('white stuff left next to hand', True),
        ('bright leftovers, an upright copyrighted clock on the left', True),
        ('the sheep lies lower, right of a brown glass', True),
        ('banana 3 o clock', False),
        ("guy at 3 O'Clock", False),
        ('guy at 3pm', False),
        ('girl rt of man', False),
        ('the l shaped couch', False),
        ('Lft guy', False),
        ('rigth one', False),
        ('rtmost', False),
        ('leftguy', False),
        ('the manright', False),
        ('white frosting right next to the hand', False),
        ('the one right  in front', False),
    ],
)
def test_what_turns_with_the_photo(sentence, turns):
    """Sentences by people, and forms that they use."""
    assert turns_with_photo(sentence) is turns


def test_no_flip_where_the_sentence_would_be_wrong(sample):
    flip = FlipWithWords(prob=1)
    unclear = dict(sample, sentences=['lft dog', 'left dog'])
    assert flip.transform(dict(unclear, sentence='lft dog'))['img'] is sample['img']
    assert flip.transform(without(unclear, 'sentence'))['sentences'] == unclear['sentences']
    flipped = flip.transform(dict(unclear, sentence='left dog'))
    np.testing.assert_array_equal(flipped['img'], sample['img'][:, ::-1])


def test_a_flip_mirrors_photo_mask_and_words(sample):
    picked = dict(sample, sentence='Left dog')
    flipped = FlipWithWords(prob=1).transform(dict(picked))
    np.testing.assert_array_equal(flipped['img'], sample['img'][:, ::-1])
    np.testing.assert_array_equal(flipped['gt_seg_map'], sample['gt_seg_map'][:, ::-1])
    cv2.circle(flipped['img'], (5, 5), 3, (0, 0, 0))  # OpenCV refuses arrays that are not in order
    assert flipped['sentence'] == 'Right dog'
    assert flipped['sentences'] == ['Right dog', 'the left-most dog', 'brown dog']
    assert flipped['sent_ids'] == [40, 41, 42] and flipped['img_shape'] == (HEIGHT, WIDTH)
    assert sample['sentences'][0] == 'Left dog', "the data set's own list stays"


def test_a_flip_before_a_sentence_is_picked(sample):
    flipped = FlipWithWords(prob=1).transform(without(sample, 'sentence'))
    assert flipped['sentences'][0] == 'Right dog' and 'sentence' not in flipped


def test_a_flip_of_a_sentence_alone_and_without_a_mask(sample):
    flipped = FlipWithWords(prob=1).transform(
        dict(without(sample, 'sentences', 'gt_seg_map', 'segmentation'), sentence='left')
    )
    assert flipped['sentence'] == 'right' and 'sentences' not in flipped and 'gt_seg_map' not in flipped


def test_two_flips_change_nothing(sample):
    twice = FlipWithWords(prob=1).transform(FlipWithWords(prob=1).transform(dict(sample)))
    assert twice.keys() == sample.keys()
    for key, value in sample.items():
        np.testing.assert_array_equal(twice[key], value)


def test_flips_are_as_frequent_as_asked(sample):
    np.random.seed(0)
    changed = [(FlipWithWords(0.3).transform(dict(sample))['img'] != sample['img']).any() for _ in range(1000)]
    assert 250 < sum(changed) < 350
    assert FlipWithWords(0).transform(dict(sample))['img'] is sample['img']


# Crop


def crops(sample: dict, number: int = 300, **options) -> list[dict]:
    np.random.seed(0)
    return [CropWithTarget(**options).transform(dict(sample)) for _ in range(number)]


def corner(sample: dict, crop: dict) -> tuple[int, int]:
    """Where the crop lay; the photo's pixels are unlike one another."""
    height, width = crop['img'].shape[:2]
    (found,) = [
        (y, x)
        for y, x in np.argwhere((sample['img'] == crop['img'][0, 0]).all(-1))
        if np.array_equal(sample['img'][y : y + height, x : x + width], crop['img'])
    ]
    return found


@pytest.mark.parametrize('min_scale', [0, 0.5, 0.9])
@pytest.mark.parametrize('box', [(5, 11, 3, 20), (0, 1, 0, 1), (23, 24, 36, 37), (0, 24, 5, 6), (2, 23, 0, 37)])
def test_a_crop_holds_the_whole_target(sample, box, min_scale):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[box[0] : box[1], box[2] : box[3]] = 1
    for crop in crops(dict(sample, gt_seg_map=mask), 100, min_scale=min_scale):
        assert crop['gt_seg_map'].sum() == mask.sum()
        height, width = crop['img'].shape[:2]
        assert height >= min_scale * HEIGHT and width >= min_scale * WIDTH
        y, x = corner(sample, crop)
        np.testing.assert_array_equal(crop['gt_seg_map'], mask[y : y + height, x : x + width])
        assert crop['img_shape'] == (height, width) and crop['ori_shape'] == (HEIGHT, WIDTH)


def test_crops_reach_all_that_is_allowed(sample):
    """The target's box is rows 5 to 10 and columns 3 to 19; the pixel to ignore, beyond, need not stay."""
    found = crops(sample, 3000, min_scale=0.5)
    tops, lefts = zip(*[corner(sample, crop) for crop in found], strict=True)
    heights, widths = zip(*[crop['img'].shape[:2] for crop in found], strict=True)
    assert set(tops) == set(range(6)) and set(lefts) == set(range(4))
    assert set(heights) == set(range(12, HEIGHT + 1)) and set(widths) == set(range(19, WIDTH + 1))
    assert {y + h for y, h in zip(tops, heights, strict=True)} == set(range(12, HEIGHT + 1))
    assert any((crop['gt_seg_map'] != 255).all() for crop in found)


@pytest.mark.parametrize('kind', ['empty mask', 'no mask'])
def test_without_a_target_it_is_any_part(sample, kind):
    empty = dict(without(sample, 'segmentation'), gt_seg_map=np.zeros((HEIGHT, WIDTH), np.uint8))
    empty = without(empty, 'gt_seg_map') if kind == 'no mask' else empty
    found = crops(empty, 1000, min_scale=0.5)
    tops, lefts = zip(*[corner(sample, crop) for crop in found], strict=True)
    assert {0, 12} <= set(tops) <= set(range(13)) and {0, 18} <= set(lefts) <= set(range(19))
    assert all(('gt_seg_map' in crop) == (kind == 'empty mask') for crop in found)


@pytest.mark.parametrize(
    ('sentence', 'whole'),
    [
        ('left dog', True),
        ('dog (Bottom)', True),
        ("the one on the right's hat", True),
        ('right-hand dog', True),
        ('LEFTMOST dog', True),
        ('second from the end', True),
        ('brown dog', False),
        ('bright backpack', False),
        ('', False),
    ],
)
def test_a_sentence_about_a_place_keeps_the_photo_whole(sample, sentence, whole):
    picked = dict(sample, sentence=sentence)
    assert all(crop['img'] is sample['img'] for crop in crops(picked, 10)) == whole
    # before one is picked, any of them can be
    several = without(dict(sample, sentences=['brown dog', sentence]), 'sentence')
    assert all(crop['img'] is sample['img'] for crop in crops(several, 10)) == whole


def test_other_words_to_spare(sample):
    crop = CropWithTarget(skip_words=('brown',))
    assert crop.transform(dict(sample))['img'] is sample['img']
    np.random.seed(0)
    assert crop.transform(dict(sample, sentence='left dog'))['img'].shape != sample['img'].shape


@pytest.mark.parametrize('transform', [FlipWithWords(prob=0), CropWithTarget()])
def test_a_mask_loaded_afterwards_would_not_fit(sample, transform):
    with pytest.raises(ValueError, match='put LoadReferringMask before'):
        transform.transform(without(sample, 'gt_seg_map'))
    with pytest.raises(ValueError, match=r'the mask is \(24, 36\), the photo \(24, 37\)'):
        transform.transform(dict(sample, gt_seg_map=sample['gt_seg_map'][:, 1:]))


# Jitter


def hsv(photo: np.ndarray) -> np.ndarray:
    """Hue in degrees, saturation and value in [0, 1]."""
    return cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_BGR2HSV)


def test_hues_stay(sample):
    np.random.seed(0)
    jitter = ColourJitter(brightness=0.8, contrast=0.8, saturation=0.8)
    photo = sample['img'].repeat(2, 0)
    photo[:2] = [(0, 0, 255)]
    compared = 0
    for _ in range(50):
        after = jitter.transform(dict(img=photo))['img']
        assert after.dtype == np.uint8 and after.shape == photo.shape
        # a pixel of 0 to 255 rounds its channels by half a step: dull and dark ones have a vague hue
        clear = np.minimum(np.ptp(photo, -1), np.ptp(after, -1)) >= 30
        turn = np.abs(hsv(after)[..., 0] - hsv(photo)[..., 0])[clear]
        assert np.minimum(turn, 360 - turn).max(initial=0) < 2.1
        compared += clear.sum()
    assert compared > 10_000


@pytest.mark.parametrize(
    ('which', 'expected'),
    [
        ('brightness', lambda h, s, v, k: (s, v * k)),
        ('contrast', lambda h, s, v, k: (s, v.mean() + k * (v - v.mean()))),
        ('saturation', lambda h, s, v, k: (s * k, v)),
    ],
)
def test_each_changes_one_thing(sample, which, expected, monkeypatch):
    """By HSV of the photo, for factors at both ends and between."""
    before = hsv(sample['img'])
    factors = dict(brightness=0.0, contrast=0.0, saturation=0.0)
    for k in (0.6, 1.0, 1.4):
        monkeypatch.setattr(np.random, 'uniform', lambda low, high, k=k: k if low < high else 1.0)
        after = hsv(ColourJitter(**{**factors, which: 0.4}).transform(dict(img=sample['img']))['img'])
        s, v = (np.clip(x, 0, 1) for x in expected(*np.moveaxis(before, -1, 0), k))
        bright = v > 0.3
        assert np.abs(after[..., 2] - v).max() < 0.003
        assert np.abs(after[..., 1] - s)[bright].max() < 0.012


def test_factors_are_drawn_from_their_ranges(sample, monkeypatch):
    drawn = []
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: drawn.append((low, high)) or 1.0)
    ColourJitter(0.1, 0.2, 0.3).transform(dict(sample))
    assert drawn == [(0.9, 1.1), (0.8, 1.2), (0.7, 1.3)]


def test_white_grey_and_black_stay_without_colour():
    np.random.seed(0)
    photo = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    for _ in range(20):
        after = ColourJitter(1, 1, 1).transform(dict(img=photo))['img']
        assert (np.ptp(after, -1) == 0).all()
    np.testing.assert_array_equal(ColourJitter(0, 0, 0).transform(dict(img=photo))['img'], photo)


def test_a_photo_without_change_and_the_given_one_untouched(sample):
    before = sample['img'].copy()
    np.testing.assert_array_equal(ColourJitter(0, 0, 0).transform(dict(sample))['img'], before)
    ColourJitter().transform(dict(sample))
    np.testing.assert_array_equal(sample['img'], before)


def test_a_float_photo_is_refused():
    with pytest.raises(ValueError, match='float64'):
        ColourJitter().transform(dict(img=np.zeros((2, 2, 3))))


# Words


def test_words_are_dropped_as_often_as_asked():
    np.random.seed(0)
    words = [f'w{i}' for i in range(1000)]
    left = WordDropout(0.2).transform(dict(sentence=' '.join(words)))['sentence'].split()
    assert 750 < len(left) < 850
    assert left == [word for word in words if word in left], 'in their order'


def test_a_word_always_stays_and_each_can():
    np.random.seed(0)
    left = [WordDropout(1).transform(dict(sentence='the  brown dog'))['sentence'] for _ in range(100)]
    assert set(left) == {'the', 'brown', 'dog'}


@pytest.mark.parametrize('sentence', ['', '  ', 'dog', ' the  brown dog '])
def test_nothing_to_drop(sentence):
    prob = 1 if sentence == 'dog' else 0
    assert WordDropout(prob).transform(dict(sentence=sentence))['sentence'] == sentence


def test_places_are_kept(sample):
    sentence = 'the Left, brown dog at the right-hand corner'
    assert WordDropout(1).transform(dict(sentence=sentence))['sentence'] == 'Left, right-hand corner'
    brown = WordDropout(1, keep_words=('brown',)).transform(dict(sentence=sentence))['sentence']
    assert brown == 'brown'


def test_which_sentences_lose_words(sample):
    picked = WordDropout(1).transform(dict(sample, sentence='left dog'))
    assert picked['sentence'] == 'left' and picked['sentences'] == sample['sentences']
    several = WordDropout(1).transform(without(sample, 'sentence'))
    assert [len(s.split()) for s in several['sentences']] == [1, 1, 1] and 'sentence' not in several
    assert sample['sentences'][1] == 'the right-most dog'


# All


@pytest.mark.parametrize(
    'transform',
    [FlipWithWords(0.5), CropWithTarget(0.5), ColourJitter(), WordDropout(0.5)],
    ids=lambda t: type(t).__name__,
)
def test_the_same_seed_gives_the_same(sample, transform):
    def draw(seed: int) -> list[tuple]:
        np.random.seed(seed)
        drawn = [transform.transform(dict(sample)) for _ in range(8)]
        return [(d['img'].tobytes(), d['gt_seg_map'].tobytes(), d['sentence']) for d in drawn]

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize('value', [-0.1, 1.1, float('nan')])
@pytest.mark.parametrize(
    ('transform', 'name'),
    [
        (FlipWithWords, 'prob'),
        (CropWithTarget, 'min_scale'),
        (ColourJitter, 'brightness'),
        (ColourJitter, 'contrast'),
        (ColourJitter, 'saturation'),
        (WordDropout, 'prob'),
    ],
)
def test_numbers_beyond_their_range_are_refused(transform, name, value):
    with pytest.raises(ValueError, match=rf'{name} must be in \[0, 1\]; got'):
        transform(**{name: value})


def test_the_config_augments_the_training_only():
    plain, augmented = (load_config(f'mgfe-ris_swin-base_refcoco{end}') for end in ('', '_augmented'))
    types = [t.type for t in augmented.train_dataloader.dataset.pipeline]
    assert {'CropWithTarget', 'FlipWithWords', 'ColourJitter', 'WordDropout'} <= set(types)
    assert [t for t in types if t in {t.type for t in plain.train_dataloader.dataset.pipeline}] == [
        'LoadPhoto', 'LoadReferringMask', 'PickSentence', 'Resize', 'PackSegInputs'
    ]  # fmt: skip
    augmented.train_dataloader.dataset.pipeline = plain.train_dataloader.dataset.pipeline
    plain.train_pipeline = augmented.train_pipeline
    assert augmented.to_dict() == plain.to_dict()


def test_the_pipeline_of_the_config(refshapes):
    cfg = load_config('mgfe-ris_swin-base_refcoco_augmented', dict(data_root=str(refshapes)))
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, 'ann_folder': 'refshapes'})
    np.random.seed(0)
    for i in range(5):
        packed = dataset[i]
        assert packed['inputs'].shape == (3, 480, 480) and packed['inputs'].numpy().dtype == np.uint8
        truth = packed['data_samples']
        assert truth.img_shape == (480, 480) and truth.gt_sem_seg.data.any() and truth.sentence
