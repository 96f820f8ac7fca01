"""Random changes for training after which the sentence is still true of the object.

A flip exchanges left and right, a crop spares sentences about places, a jitter leaves hues alone, since sentences name
colours. All draw from numpy's global generator, which begins anew with each sample; see ``SeededDataset``.
"""

import re
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

# left, right, alone or within the few words built from them: leftmost, lefthanded, topleft; not bright, cleft, leftover
_LETTER = r'[^\W\d_]'
_SIDE = re.compile(
    rf'(?<!{_LETTER})(top|bottom|upper|lower|front|back|far)?(left|right)'
    rf'(?=(most|hand|handed|side|wards?|y)?(?!{_LETTER}))',
    re.IGNORECASE,
)
# sides that an exchange of words does not turn: hours, short and misspelt forms, "right" for "directly"; a word of one
# letter may also be a letter in the photo, which a mirror spoils
_UNCLEAR = re.compile(
    rf"""(?<!{_LETTER})(?:
        o\W{{0,2}}clock | (?<=\d)\s?[ap]\.?m
        | (?: [lr] | lt | rt | lef | lft | leff?tt | lefft | lfet | letf | elft
            | rgt | rght | righ | rigt | rigth | rihgt | rightt ) (?:most|hand|side)?
        | right\s+(?: next | behind | beside | above | below | under | underneath | there | here
            | in\s+front | in\s+the\s+(?:middle|center|centre|back) )
    )(?!{_LETTER})""",
    re.IGNORECASE | re.VERBOSE,
)
_NO_SIDES = ('bright', 'cleft', 'copyright', 'fright', 'leftover', 'outright', 'righteous', 'rights', 'upright')
# a crop can make a sentence with one of these untrue, and without them it may fit several objects
POSITION_WORDS = (
    *('left', 'leftmost', 'lefthand', 'leftside', 'right', 'rightmost', 'righthand', 'rightside'),
    *('top', 'topmost', 'topleft', 'topright', 'upper', 'bottom', 'bottommost', 'bottomleft', 'bottomright', 'lower'),
    *('middle', 'center', 'centre', 'central', 'corner', 'side', 'edge', 'border', 'end', 'far', 'furthest'),
    *('front', 'back', 'foreground', 'background', 'first', 'second', 'third', 'fourth', 'last'),
)


def swap_left_right(sentence: str) -> str:
    """Left and right exchanged, their capitals kept; applied twice, it gives the sentence back.

    Only the direction is understood: "the right answer" and "the last one left" change too. What is not written out
    stays as it is; ask :func:`turns_with_photo` first.
    """
    return _SIDE.sub(lambda match: (match[1] or '') + _other_side(match[2]), sentence)


def turns_with_photo(sentence: str) -> bool:
    """Whether :func:`swap_left_right` makes it true of the mirrored photo, as far as can be told.

    Not where a side is an hour ("banana 3 o clock"), short or misspelt ("rt", "lft", "rigth"), glued to its neighbour
    ("leftguy"), or perhaps no side ("right next to the hand"). Text to be read in the photo is not seen.
    """
    if _UNCLEAR.search(sentence):
        return False
    glued = (word for word in _words(sentence) if re.search('left|right', _SIDE.sub('', word)))
    return all(word.startswith(_NO_SIDES) for word in glued)


def _other_side(word: str) -> str:
    other = 'right' if word.lower() == 'left' else 'left'
    capitals = [letter.isupper() for letter in word] + [word[-1].isupper()]
    return ''.join(letter.upper() if up else letter for letter, up in zip(other, capitals, strict=False))


@TRANSFORMS.register_module()
class FlipWithWords(BaseTransform):
    """Mirror ``img`` and ``gt_seg_map``, and exchange left and right in ``sentence`` and ``sentences``.

    Args:
        prob: how often, in [0, 1], if the ``sentence`` turns with the photo, see :func:`turns_with_photo`; before
            ``PickSentence``, if all ``sentences`` do.

    Raises:
        ValueError: a prob beyond [0, 1], or a mask that is yet to be loaded or of another size than the photo.
    """

    def __init__(self, prob: float = 0.5):
        self.prob = _share(prob, 'prob')

    def transform(self, results: dict) -> dict:
        _require_mask(results)
        if np.random.random() >= self.prob or not all(map(turns_with_photo, _read_sentences(results))):
            return results
        for key in ('img', 'gt_seg_map'):
            if key in results:
                results[key] = np.ascontiguousarray(results[key][:, ::-1])
        if 'sentence' in results:
            results['sentence'] = swap_left_right(results['sentence'])
        if 'sentences' in results:
            results['sentences'] = [swap_left_right(sentence) for sentence in results['sentences']]
        return results


@TRANSFORMS.register_module()
class CropWithTarget(BaseTransform):
    """Cut ``img`` and ``gt_seg_map`` to a random part that holds the whole target; ``img_shape`` follows.

    Without a target, in the mask or at all, it is any part. What else the sentence speaks of may be cut away: a
    ``min_scale`` near 1 makes that rare.

    Args:
        min_scale: the least share of the height, and of the width, that stays, in [0, 1].
        skip_words: a photo is left whole if its ``sentence`` has one of these words, in small letters; before
            ``PickSentence``, if any of its ``sentences`` has.

    Raises:
        ValueError: a min_scale beyond [0, 1], or a mask that is yet to be loaded or of another size than the photo.
    """

    def __init__(self, min_scale: float = 0.7, skip_words: Sequence[str] = POSITION_WORDS):
        self.min_scale = _share(min_scale, 'min_scale')
        self.skip_words = frozenset(skip_words)

    def transform(self, results: dict) -> dict:
        _require_mask(results)
        if any(self.skip_words & _words(sentence) for sentence in _read_sentences(results)):
            return results
        shape = results['img'].shape[:2]
        target = results.get('gt_seg_map', np.zeros(shape)) == 1  # 255 is ignored, no target
        rows, columns = (self._stretch(target.any(axis)) for axis in (1, 0))
        for key in ('img', 'gt_seg_map'):
            if key in results:
                results[key] = np.ascontiguousarray(results[key][rows, columns])
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _stretch(self, occupied: np.ndarray) -> slice:
        """A random range of one side's pixels that holds all the ``occupied`` ones, (length,) bool."""
        length = len(occupied)
        # without a target any pixel will do as one
        within = np.flatnonzero(occupied) if occupied.any() else np.random.randint(length, size=1)
        first, last = within[0], within[-1]
        least = max(last - first + 1, int(np.ceil(self.min_scale * length)))
        size = np.random.randint(least, length + 1)
        start = np.random.randint(max(0, last + 1 - size), min(first, length - size) + 1)
        return slice(start, start + size)


@TRANSFORMS.register_module()
class ColourJitter(BaseTransform):
    """Change brightness, contrast and saturation of ``img`` (H, W, 3) uint8, never the hue.

    mmseg's ``PhotoMetricDistortion`` fails with ``hue_delta=0``, and shifts hues where it cuts a channel off at 255.

    Args:
        brightness, contrast, saturation: each is multiplied by a number from [1 - x, 1 + x], x in [0, 1].

    Raises:
        ValueError: an x beyond [0, 1], or a photo that is not uint8.
    """

    def __init__(self, brightness: float = 0.3, contrast: float = 0.3, saturation: float = 0.3):
        self.brightness = _share(brightness, 'brightness')
        self.contrast = _share(contrast, 'contrast')
        self.saturation = _share(saturation, 'saturation')

    def transform(self, results: dict) -> dict:
        if results['img'].dtype != np.uint8:
            raise ValueError(f'ColourJitter needs a photo of uint8; got {results["img"].dtype}')
        brightness, contrast, saturation = (
            np.float32(np.random.uniform(1 - x, 1 + x)) for x in (self.brightness, self.contrast, self.saturation)
        )
        photo = results['img'].astype(np.float32)
        value = photo.max(-1, keepdims=True)
        # how far each channel stays behind the strongest, in [0, 1]: the largest is HSV's saturation, and the ratios
        # of the three are the hue, which one factor for all leaves alone
        lack = (value - photo) / np.maximum(value, 1)
        lack *= np.minimum(saturation, 1 / np.maximum(lack.max(-1, keepdims=True), 1 / 255))
        value *= brightness
        value = np.clip(value.mean() + contrast * (value - value.mean()), 0, 255)
        results['img'] = np.rint(value * (1 - lack)).astype(np.uint8)
        return results


@TRANSFORMS.register_module()
class WordDropout(BaseTransform):
    """Leave words out of ``sentence``, or of all ``sentences`` before ``PickSentence``, but never all of them.

    Args:
        prob: of each word to be left out, in [0, 1]; what is left may fit several objects, so keep it small.
        keep_words: never left out, in small letters.

    Raises:
        ValueError: a prob beyond [0, 1].
    """

    def __init__(self, prob: float = 0.1, keep_words: Sequence[str] = POSITION_WORDS):
        self.prob = _share(prob, 'prob')
        self.keep_words = frozenset(keep_words)

    def transform(self, results: dict) -> dict:
        if 'sentence' in results:
            results['sentence'] = self._thin(results['sentence'])
        else:
            results['sentences'] = [self._thin(sentence) for sentence in results['sentences']]
        return results

    def _thin(self, sentence: str) -> str:
        words = sentence.split()
        drop = np.random.random(len(words)) < self.prob
        kept = [word for word, out in zip(words, drop, strict=True) if not out or self.keep_words & _words(word)]
        if words and not kept:
            kept = [words[np.random.randint(len(words))]]
        return sentence if len(kept) == len(words) else ' '.join(kept)


def _read_sentences(results: dict) -> list[str]:
    return [results['sentence']] if 'sentence' in results else results['sentences']


def _words(sentence: str) -> set[str]:
    return set(re.findall(f'{_LETTER}+', sentence.lower()))


def _require_mask(results: dict) -> None:
    """A mask that is loaded later would be that of the photo as it was."""
    if 'segmentation' in results and 'gt_seg_map' not in results:
        raise ValueError('put LoadReferringMask before the transforms that flip or crop the photo')
    if 'gt_seg_map' in results and results['gt_seg_map'].shape != results['img'].shape[:2]:
        raise ValueError(
            f'the mask is {results["gt_seg_map"].shape}, the photo {results["img"].shape[:2]}: flip and crop in the '
            'pipeline of the training, where both have one size'
        )


def _share(number: float, name: str) -> float:
    if not 0 <= number <= 1:
        raise ValueError(f'{name} must be in [0, 1]; got {number}')
    return number
