"""Sentences about a scene: their grammar, a resolver that says whom one means, and a speaker.

The resolver knows nothing of how a sentence was made: it reads the plain string. The speaker
proposes sentences without regard to their truth and keeps those that the resolver finds true of
exactly the object that is meant.

Grammar::

    sentence := ["the"] phrase {link (place | relation "the" phrase | colour | texture)}
    phrase   := {left | top left | leftmost | biggest | dotted | red | ...} noun
    noun     := one of the shapes | "one" | "shape"
    place    := (on the left [side] | at the top | in the top left corner | ...) ["of the image"]
    relation := left of | right of | above | below | closest to
    link     := nothing | "that is" | "and is" | "and"
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from .scenes import COLOURS, SHAPES, TEXTURES, SceneObject

FLAVOURS: tuple[str, ...] = ('refshapes', 'refshapes+', 'refshapesg')

# Words and phrases of the grammar, each with what it means.
_SIZES = {word: 'big' for word in ('big', 'large', 'biggest', 'largest')}
_SIZES |= {word: 'small' for word in ('small', 'smallest')}
_SIDES = ('left', 'right', 'top', 'bottom')
_CORNERS = (('top', 'left'), ('top', 'right'), ('bottom', 'left'), ('bottom', 'right'))
PLACES_BEFORE: dict[str, tuple[str, ...]] = {
    **{f'{a} {b}': (a, b) for a, b in _CORNERS},
    **{side: (side,) for side in _SIDES},
    **{f'{side}most': (side,) for side in _SIDES[:3]},
    'lowest': ('bottom',),
    'middle': ('middle',),
}
PLACES_AFTER: dict[str, tuple[str, ...]] = {
    **{f'in the {a} {b} corner': (a, b) for a, b in _CORNERS},
    **{f'on the {side} side': (side,) for side in _SIDES[:2]},
    **{f'on the {side}': (side,) for side in _SIDES[:2]},
    **{f'at the {side}': (side,) for side in _SIDES[2:]},
    'in the middle': ('middle',),
}
# Relations, each with the side of the other object on which it places the first.
_RELATIONS = {
    'left of': 'left',
    'right of': 'right',
    'above': 'top',
    'below': 'bottom',
    'closest to': 'middle',
}
ANY_SHAPE = ('one', 'shape')
_LINKS = ('that is', 'and is', 'and')


def _words(phrases: Iterable[str]) -> list[str]:
    return [word for phrase in phrases for word in phrase.split()]


VOCABULARY: tuple[str, ...] = tuple(
    dict.fromkeys(
        _words(
            ['the', *SHAPES, *ANY_SHAPE, *COLOURS, *TEXTURES, *_SIZES]
            + [*PLACES_BEFORE, *PLACES_AFTER, 'of the image', *_RELATIONS, *_LINKS]
        )
    )
)
POSITION_WORDS: frozenset[str] = frozenset(_words([*PLACES_BEFORE, *_RELATIONS])) - {'of', 'to'}


# Reading


@dataclass(frozen=True)
class Phrase:
    """The meaning of a sentence, free of its wording. ``None`` and ``()`` mean: not said."""

    shape: str | None = None
    colour: str | None = None
    texture: str | None = None
    size: str | None = None
    place: tuple[str, ...] = ()
    relations: tuple[tuple[str, Phrase], ...] = ()

    @property
    def kind(self) -> str:
        """One of relation, size (also if mixed with position), position, appearance."""
        if self.relations:
            return 'relation'
        if self.size:
            return 'size'
        return 'position' if self.place else 'appearance'


@lru_cache(maxsize=4096)
def parse(sentence: str) -> Phrase:
    """Read a sentence of the grammar above.

    Raises:
        ValueError: the sentence is outside the grammar; the message names what was not understood.
    """
    reader = _Reader(sentence)
    found, relations = reader.phrase(), []
    while reader.rest:
        reader.take(_LINKS)
        if relation := reader.take(_RELATIONS):
            relations.append((relation, Phrase(**reader.phrase())))
        elif place := reader.take(PLACES_AFTER):
            reader.take(('of the image',))
            reader.set(found, 'place', PLACES_AFTER[place])
        elif not reader.attribute(found):
            raise reader.error()
    return Phrase(**found, relations=tuple(relations))


class _Reader:
    """The words of a sentence that are still to be read."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self.rest = sentence + ' '

    def take(self, choices: Iterable[str]) -> str:
        """Consume and return the first of the choices that comes next, or return ''."""
        for choice in choices:
            if self.rest.startswith(choice + ' '):
                self.rest = self.rest[len(choice) + 1 :]
                return choice
        return ''

    def phrase(self) -> dict:
        found: dict = {}
        self.take(('the',))
        while True:
            if shape := self.take(SHAPES):
                return found | {'shape': shape}
            if self.take(ANY_SHAPE):
                if 'size' in found:
                    raise ValueError(f'a size needs a shape, to compare like with like; got {self.sentence!r}')
                return found
            if size := self.take(_SIZES):
                self.set(found, 'size', _SIZES[size])
            elif place := self.take(PLACES_BEFORE):
                self.set(found, 'place', PLACES_BEFORE[place])
            elif not self.attribute(found):
                raise self.error()

    def attribute(self, found: dict) -> bool:
        """Consume a colour or a texture; False if none comes next."""
        for field, choices in (('colour', COLOURS), ('texture', TEXTURES)):
            if word := self.take(choices):
                self.set(found, field, word)
                return True
        return False

    def set(self, found: dict, field: str, value: object) -> None:
        if field in found:
            raise ValueError(f'{field} is said twice in {self.sentence!r}')
        found[field] = value

    def error(self) -> ValueError:
        return ValueError(f'cannot read {self.rest.strip()!r} in {self.sentence!r}')


# Resolving

POSITION_MARGIN = 0.08  # of the image side: how much farther left the leftmost one must be
SIZE_RATIO = 1.25  # how much bigger the biggest one must be

# What a statement is clearly true of, and what it could be taken to be true of (a superset).
Verdict = tuple[set[int], set[int]]


def resolve(sentence: str, objects: Sequence[SceneObject]) -> tuple[int, ...]:
    """Indices, ascending, of the objects that the sentence could mean.

    Every statement has a margin, and an object within it counts as an answer beside the one that is
    clearly meant, so that a single answer is an unambiguous one. If the statement is clearly true
    of none, the answer is ().

    Statements compare an object with those that share all the attributes said (shape, colour,
    texture), its rivals:

    * left (right, top, bottom): the leftmost of the rivals, by POSITION_MARGIN, and in the left
      45 % of the image. "leftmost" and "on the left" mean the same.
    * top left (and so on): within the top left 45 % x 45 % of the image, with rivals outside
      55 % x 55 %.
    * middle: at most 0.12 from the centre in x and in y, with rivals more than 0.2 off.
    * big, biggest (small): at least SIZE_RATIO times as big as each rival, whether its hidden part
      is counted or not; there must be a rival.
    * left of B (right of, above, below): its centre at least 0.12 to the left of B's, and not more
      than 60 degrees off that direction, with no rival more than 0.04 to the left. B must itself
      have one answer.
    * closest to B: nearest to B's centre by POSITION_MARGIN; there must be a rival.

    Raises:
        ValueError: the sentence is outside the grammar (see ``parse``).
    """
    return _resolve(parse(sentence), objects)


def rivals_of(phrase: Phrase, objects: Sequence[SceneObject]) -> list[int]:
    """Indices of the objects that have all the attributes said: shape, colour, texture."""
    said = [(key, getattr(phrase, key)) for key in ('shape', 'colour', 'texture')]
    return [i for i, thing in enumerate(objects) if all(v is None or v == getattr(thing, k) for k, v in said)]


def _resolve(phrase: Phrase, objects: Sequence[SceneObject]) -> tuple[int, ...]:
    rivals = rivals_of(phrase, objects)
    verdicts: list[Verdict] = []
    if phrase.size and rivals:
        verdicts.append(_by_size(phrase.size, rivals, objects))
    if phrase.place and rivals:
        verdicts.append(_by_place(phrase.place, rivals, objects))
    for relation, other in phrase.relations:
        anchor = _resolve(other, objects)
        if len(anchor) != 1:
            return ()
        verdicts.append(_by_relation(relation, [i for i in rivals if i != anchor[0]], anchor[0], objects))
    clear = set(rivals).intersection(*(verdict[0] for verdict in verdicts))
    possible = set(rivals).intersection(*(verdict[1] for verdict in verdicts))
    return tuple(sorted(possible)) if clear else ()


def _by_size(size: str, rivals: list[int], objects: Sequence[SceneObject]) -> Verdict:
    if len(rivals) < 2:
        return set(), set()
    whole = {i: objects[i].radius for i in rivals}
    seen = {i: objects[i].radius * math.sqrt(objects[i].visible) for i in rivals}
    if size == 'big':
        best = max(rivals, key=seen.__getitem__)
        return {best}, {best, *(i for i in rivals if whole[i] * SIZE_RATIO > seen[best])}
    best = min(rivals, key=whole.__getitem__)
    return {best}, {best, *(i for i in rivals if seen[i] < whole[best] * SIZE_RATIO)}


def _by_place(place: tuple[str, ...], rivals: list[int], objects: Sequence[SceneObject]) -> Verdict:
    if place == ('middle',) or len(place) == 2:
        return by_region(place, rivals, objects)
    far = {i: _distance_from(place[0], objects[i]) for i in rivals}
    first = min(rivals, key=far.__getitem__)
    if far[first] > 0.45:
        return set(), set()
    return {first}, {i for i in rivals if far[i] < far[first] + POSITION_MARGIN}


def by_region(place: tuple[str, ...], rivals: list[int], objects: Sequence[SceneObject]) -> Verdict:
    """The rivals within a half, a quarter or the middle of the image, however many: clearly, and with a margin."""
    if place == ('middle',):
        off = {i: max(abs(objects[i].x - 0.5), abs(objects[i].y - 0.5)) for i in rivals}
        return {i for i in rivals if off[i] <= 0.12}, {i for i in rivals if off[i] <= 0.2}
    far = {i: max(_distance_from(side, objects[i]) for side in place) for i in rivals}
    return {i for i in rivals if far[i] <= 0.45}, {i for i in rivals if far[i] <= 0.55}


def _distance_from(side: str, thing: SceneObject) -> float:
    return {'left': thing.x, 'right': 1 - thing.x, 'top': thing.y, 'bottom': 1 - thing.y}[side]


def _by_relation(relation: str, rivals: list[int], anchor: int, objects: Sequence[SceneObject]) -> Verdict:
    offsets = {i: (objects[i].x - objects[anchor].x, objects[i].y - objects[anchor].y) for i in rivals}
    if relation == 'closest to':
        if len(rivals) < 2:
            return set(), set()
        gap = {i: math.hypot(*offsets[i]) for i in rivals}
        best = min(rivals, key=gap.__getitem__)
        return {best}, {i for i in rivals if gap[i] < gap[best] + POSITION_MARGIN}
    axis = 0 if relation in ('left of', 'right of') else 1
    sign = -1 if relation in ('left of', 'above') else 1
    along = {i: sign * offsets[i][axis] for i in rivals}
    across = {i: abs(offsets[i][1 - axis]) for i in rivals}
    slope = math.tan(math.radians(60))
    clear = {i for i in rivals if along[i] >= 0.12 and across[i] <= slope * along[i]}
    return clear, clear | {i for i in rivals if along[i] > 0.04}


# Speaking

# How often each kind is tried first. Few objects stand out by size: it is tried more than said.
_KINDS: dict[str, dict[str, float]] = {
    'refshapes': {'appearance': 0.25, 'position': 0.2, 'size': 0.55},
    'refshapes+': {'appearance': 0.4, 'size': 0.6},
    'refshapesg': {'relation': 0.82, 'position': 0.1, 'appearance': 0.08},
}
# Words, at least and at most.
_LENGTHS = {'refshapes': (2, 5), 'refshapes+': (2, 5), 'refshapesg': (4, 16)}
_TRIES = 10  # of each kind for each sentence


def speak(target: int, objects: Sequence[SceneObject], flavour: str, rng: np.random.Generator) -> list[str]:
    """Mostly 2 or 3 different sentences that, says ``resolve``, mean ``objects[target]`` alone.

    Fewer, even none, if the random proposals of the flavour (one of FLAVOURS) contain no more
    unambiguous ones.
    """
    sentences: list[str] = []
    for _ in range(rng.integers(2, 4)):
        sentence = _propose(target, objects, flavour, sentences, rng)
        if sentence is None:
            break
        sentences.append(sentence)
    return sentences


def _propose(
    target: int,
    objects: Sequence[SceneObject],
    flavour: str,
    taken: list[str],
    rng: np.random.Generator,
) -> str | None:
    shortest, longest = _LENGTHS[flavour]
    speakers = _SPEAKERS[flavour == 'refshapesg']
    for kind in _in_random_order(_KINDS[flavour], rng):
        for _ in range(_TRIES):
            proposal = speakers[kind](target, objects, rng)
            if proposal in taken or not shortest <= len(proposal.split()) <= longest:
                continue
            if resolve(proposal, objects) == (target,):
                return proposal
    return None


_Choice = TypeVar('_Choice')


def _in_random_order(weights: dict[str, float], rng: np.random.Generator) -> list[str]:
    """The keys, the heavier the sooner: by random ** (1 / weight) (Efraimidis and Spirakis)."""
    return sorted(weights, key=lambda kind: rng.random() ** (1 / weights[kind]), reverse=True)


def pick(choices: Sequence[_Choice], rng: np.random.Generator) -> _Choice:
    return choices[int(rng.integers(len(choices)))]


def _sides(dx: float, dy: float) -> set[str]:
    """The places worth proposing for an offset: a hint that saves tries, the resolver decides."""
    return {'left' if dx < 0 else 'right', 'top' if dy < 0 else 'bottom', 'middle'}


def name_of(thing: SceneObject, rng: np.random.Generator, front: str = '', article: float = 1.0) -> str:
    """A noun phrase with some of the attributes; ``front`` is a size or a place put first."""
    words = ['the'] if rng.random() < article else []
    words += front.split()
    texture, colour = rng.random() < 0.35, rng.random() < 0.85
    words += [thing.texture] * texture + [thing.colour] * colour
    vague = (texture or colour or front) and front not in _SIZES and rng.random() < 0.12
    return ' '.join([*words, pick(ANY_SHAPE, rng) if vague else thing.shape])


def _place_of(thing: SceneObject, places: dict[str, tuple[str, ...]], rng: np.random.Generator) -> str:
    sides = _sides(thing.x - 0.5, thing.y - 0.5)
    return pick([words for words, place in places.items() if sides.issuperset(place)], rng)


def _say_appearance(target: int, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    return name_of(objects[target], rng, article=0.5)


def _say_size(target: int, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    return name_of(objects[target], rng, pick(list(_SIZES), rng), article=0.4)


def _say_position(target: int, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    """The place before or after the noun; if after, sometimes with a size before it."""
    thing = objects[target]
    if rng.random() < 0.55:
        return name_of(thing, rng, _place_of(thing, PLACES_BEFORE, rng), article=0.3)
    size = _maybe_size(0.3, rng)
    return f'{name_of(thing, rng, size, article=0)} {_place_of(thing, PLACES_AFTER, rng)}'


def _say_long_appearance(target: int, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    thing = objects[target]
    words = [thing.colour, thing.texture]
    if rng.random() < 0.5:
        words.reverse()
    if rng.random() < 0.7:
        return f'the {thing.shape} that is {words[0]} and {words[1]}'
    return f'the {words[0]} {thing.shape} that is {words[1]}'


def _say_long_position(target: int, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    thing = objects[target]
    return f'{name_of(thing, rng)} {_place_of(thing, PLACES_AFTER, rng)} of the image'


def _say_relation(target: int, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    """One or two relations; sometimes the target's texture is said after them."""
    thing = objects[target]
    relation = _relation(target, objects, rng)
    form = rng.random()
    if form < 0.15:
        return f'the {thing.colour} {thing.shape} that is {relation} and is {thing.texture}'
    if form < 0.25:
        return f'{name_of(thing, rng)} {relation} and {_relation(target, objects, rng)}'
    name = _shared_name(target, objects, rng) if form < 0.65 else name_of(thing, rng, _maybe_size(0.3, rng))
    return f'{name} {"that is " * (rng.random() < 0.3)}{relation}'


def _shared_name(target: int, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    """A name that fits other objects too, so that the relation is what tells them apart."""
    shape = objects[target].shape
    shared = sum(thing.shape == shape for thing in objects) > 1
    return f'the {shape if shared else pick(ANY_SHAPE, rng)}'


def _maybe_size(share: float, rng: np.random.Generator) -> str:
    return pick(list(_SIZES), rng) if rng.random() < share else ''


def _relation(target: int, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    """A relation to another object, said of the target: "left of the red ring"."""
    other = (target + int(rng.integers(1, len(objects)))) % len(objects)
    sides = _sides(objects[target].x - objects[other].x, objects[target].y - objects[other].y)
    choices = [relation for relation, side in _RELATIONS.items() if side in sides]
    return f'{pick(choices, rng)} {name_of(objects[other], rng)}'


_SPEAKERS = {
    False: {'appearance': _say_appearance, 'position': _say_position, 'size': _say_size},
    True: {
        'appearance': _say_long_appearance,
        'position': _say_long_position,
        'relation': _say_relation,
    },
}
