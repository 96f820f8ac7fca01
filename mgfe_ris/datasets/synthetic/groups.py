"""Sentences that mean several objects of a scene, one, or none, as generalised referring segmentation has them.

As in :mod:`.expressions`, the resolver reads the plain string, and the speaker keeps of its random proposals those that
the resolver proves.

Grammar::

    sentence := part {"and" part}
    part     := a sentence of .expressions, which means one object
              | ["both" | "all" | "all the" | "the two" | "the three" | ... | "the"] phrase [place]
    phrase   := {left | top left | dotted | red | ...} ("circles" | "rings" | ... | "shapes")
    place    := on the left [side] | at the top | in the top left corner | ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .expressions import (
    PLACES_AFTER,
    PLACES_BEFORE,
    Phrase,
    by_region,
    name_of,
    parse,
    pick,
    resolve,
    rivals_of,
    speak,
)
from .scenes import MAX_OBJECTS, SHAPES, SceneObject

GENERALIZED = 'grefshapes'
"""The flavour of these sentences."""

# What stands before a plural, each with how many objects it says there are; None: two or more.
_NUMBERS = dict(zip(('the two', 'the three', 'the four', 'the five'), range(2, MAX_OBJECTS + 1), strict=True))
_DETERMINERS: dict[str, int | None] = {'both': 2, 'all the': None, 'all': None, **_NUMBERS, 'the': None}
_PLURALS = {f'{shape}es' if shape.endswith('s') else f'{shape}s': shape for shape in (*SHAPES, 'shape')}
_SUPERLATIVES = {word for word in PLACES_BEFORE if word.endswith('most')} | {'lowest'}
# No sentence about one object has "and" before an article.
_AND = re.compile(r' and (?=(?:the|both|all) )')

GROUP_WORDS: tuple[str, ...] = ('both', 'all', *(words.split()[1] for words in _NUMBERS), *_PLURALS)
"""Words of this grammar beyond ``VOCABULARY``."""


# Reading


class _Plural(NamedTuple):
    """What is said of several objects; number: how many there are, None: two or more."""

    phrase: Phrase
    number: int | None


@lru_cache(maxsize=4096)
def _read(sentence: str) -> tuple[str | _Plural, ...]:
    """The parts of a sentence: those that mean one object stay strings.

    Raises:
        ValueError: the sentence is outside the grammar; the message names what was not understood.
    """
    return tuple(_read_part(part) for part in _AND.split(sentence))


def _read_part(part: str) -> str | _Plural:
    if _PLURALS.keys() & set(part.split()):
        return _plural(part)
    parse(part)  # which refuses what it cannot read
    return part


def _plural(part: str) -> _Plural:
    determiner = next((words for words in _DETERMINERS if part.startswith(words + ' ')), '')
    if not determiner:
        raise ValueError(f'expected one of {", ".join(_DETERMINERS)} before several objects; got {part!r}')
    words = part.removeprefix(determiner).split()
    if said := _SUPERLATIVES.intersection(words):
        raise ValueError(f'{said.pop()!r} is said of one object, not of several; got {part!r}')
    phrase = parse(' '.join(_PLURALS.get(word, word) for word in words))
    if phrase.size or phrase.relations:
        raise ValueError(f'a size or a relation is said of one object, not of several; got {part!r}')
    return _Plural(phrase, _DETERMINERS[determiner])


# Resolving


def resolve_targets(sentence: str, objects: Sequence[SceneObject]) -> tuple[int, ...] | None:
    """Indices, ascending, of exactly the objects that the sentence means; (): of none, beyond doubt; None: in doubt.

    * One object is meant as ``resolve`` finds it, if its answer is a single one.
    * Several are those with all the attributes said, within the half, the quarter or the middle of the image that is
      said. They must be as many as is said, and two at least; one within the margins of the place is a doubt.
    * None is meant where no object has all the attributes said, or those that have them are clearly elsewhere. As "on
      the left" may mean the leftmost of several, a place rules out only as many as are spoken of: one, the number
      said, or two.
    * Parts joined by "and" mean different objects, or none of them means any.

    Raises:
        ValueError: the sentence is outside the grammar.
    """
    answers = [
        _resolve_plural(part, objects) if isinstance(part, _Plural) else _resolve_single(part, objects)
        for part in _read(sentence)
    ]
    found = [i for answer in answers for i in answer or ()]
    if not all(answers) and (found or None in answers):
        return None  # one part of it is in doubt, or means something while another one means nothing
    return tuple(sorted(found)) if len(set(found)) == len(found) else None


def _resolve_plural(said: _Plural, objects: Sequence[SceneObject]) -> tuple[int, ...] | None:
    rivals = rivals_of(said.phrase, objects)
    clear = possible = set(rivals)
    if said.phrase.place:
        clear, possible = by_region(said.phrase.place, rivals, objects)
    if not possible:
        return () if len(rivals) <= (said.number or 2) else None
    fits = len(clear) >= 2 if said.number is None else len(clear) == said.number
    return tuple(sorted(clear)) if fits and clear == possible else None


def _resolve_single(sentence: str, objects: Sequence[SceneObject]) -> tuple[int, ...] | None:
    answer = resolve(sentence, objects)
    if len(answer) == 1:
        return answer
    phrase = parse(sentence)
    rivals = rivals_of(phrase, objects)
    # "left ring" might be a lone ring wherever it is; a ring "on the left" is not one on the right.
    if len(rivals) == 1 and any(f' {place}' in sentence for place in PLACES_AFTER):
        rivals = sorted(by_region(phrase.place, rivals, objects)[1])
    return None if rivals else ()


# Speaking

_TRIES = 60  # for each scene
_MAX_SETS = 2  # of several objects, for each scene
_MAX_SINGLES = 2
_MAX_SENTENCES = 3  # for each set of objects
_LONGEST = 11  # words


def speak_of_targets(
    objects: Sequence[SceneObject], allowed: Sequence[int], rng: np.random.Generator
) -> dict[tuple[int, ...], list[str]]:
    """Sets of objects, each with 1 to 3 different sentences that, says ``resolve_targets``, mean exactly these.

    Mostly two sets of several objects, two of one and (), the sentences of which mean nothing in the scene, though all
    they speak of is there: a colour, a texture or a place of one object is said of another. Fewer, even none, if the
    random proposals hold no more that are beyond doubt.

    Args:
        objects: of the scene.
        allowed: indices of those that may be spoken of.
        rng: the state of which alone, beside the scene, determines the sentences.
    """
    if not allowed:
        return {}
    found: dict[tuple[int, ...], list[str]] = {}
    for i in rng.permutation(allowed)[:_MAX_SINGLES].tolist():
        if sentences := speak(i, objects, 'refshapes', rng):
            found[(i,)] = sentences
    for targets, sentence in _proved(_say_several, objects, allowed, rng):
        known = [key for key in found if len(key) > 1]
        if len(targets) > 1 and set(targets) <= set(allowed) and (targets in found or len(known) < _MAX_SETS):
            _add(found, targets, sentence)
    for targets, sentence in _proved(_say_absent, objects, allowed, rng):
        if not targets:
            _add(found, targets, sentence)
    return found


def _add(found: dict[tuple[int, ...], list[str]], targets: tuple[int, ...], sentence: str) -> None:
    sentences = found.setdefault(targets, [])
    if sentence not in sentences and len(sentences) < _MAX_SENTENCES:
        sentences.append(sentence)


_Speaker = Callable[[Sequence[SceneObject], Sequence[int], np.random.Generator], str]


def _proved(
    say: _Speaker, objects: Sequence[SceneObject], allowed: Sequence[int], rng: np.random.Generator
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Of the proposals of a speaker, those that are short enough and of which the resolver has no doubt."""
    for _ in range(_TRIES):
        sentence = say(objects, allowed, rng)
        if len(sentence.split()) <= _LONGEST and (targets := resolve_targets(sentence, objects)) is not None:
            yield targets, sentence


def _say_several(objects: Sequence[SceneObject], allowed: Sequence[int], rng: np.random.Generator) -> str:
    """Mostly a plural: what a list of objects says is true of almost any, and would be said alone."""
    if rng.random() < 0.9 or len(allowed) < 2:
        return _say_plural(objects[pick(allowed, rng)], rng)
    parts = [name_of(objects[i], rng) for i in rng.permutation(allowed)[: rng.integers(2, 4)]]
    if rng.random() < 0.3:
        parts[0] = _say_plural(objects[pick(allowed, rng)], rng, places=0)
    return ' and '.join(parts)


def _say_plural(thing: SceneObject, rng: np.random.Generator, places: float = 0.4) -> str:
    """Some of an object's attributes, said of several; ``places``: how often a place is said, too."""
    colour, texture = rng.random() < 0.5, rng.random() < 0.2
    vague = (colour or texture) and rng.random() < 0.4
    shape = 'shape' if vague else thing.shape
    noun = next(plural for plural, single in _PLURALS.items() if single == shape)
    words = [pick(list(_DETERMINERS), rng), *[thing.texture] * texture, *[thing.colour] * colour, noun]
    if rng.random() < places:
        words.append(pick(list(PLACES_AFTER), rng))
    return ' '.join(words)


def _say_absent(objects: Sequence[SceneObject], allowed: Sequence[int], rng: np.random.Generator) -> str:
    """What is nearly true of an object, or of two."""
    count = 2 if rng.random() < 0.15 else 1
    return ' and '.join(_say_false(objects[pick(allowed, rng)], objects, rng) for _ in range(count))


def _say_false(thing: SceneObject, objects: Sequence[SceneObject], rng: np.random.Generator) -> str:
    """An object with the colour or the texture of another one, or at another place; at times as if there were more."""
    other, form = objects[int(rng.integers(len(objects)))], rng.random()
    if form < 0.5:
        thing = replace(thing, colour=other.colour)
    elif form < 0.7:
        thing = replace(thing, texture=other.texture)
    if rng.random() < 0.3:
        return _say_plural(thing, rng, places=float(form >= 0.7))
    name = name_of(thing, rng)
    return name if form < 0.7 else f'{name} {pick(list(PLACES_AFTER), rng)}'
