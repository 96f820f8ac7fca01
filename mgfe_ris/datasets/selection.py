"""Which objects and sentences of an index a data set holds, and in which order."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from ..data_parts import split_names
from .index import SharedIndex


class Selection(NamedTuple):
    """What a data set was asked for; see :class:`mgfe_ris.datasets.ReferringDataset`."""

    split: str | Sequence[str]
    key: str
    apart_from: tuple[str, ...] = ()
    per_sentence: bool = False
    exchanged: bool = False
    """Hand every object of a photo the sentences of the photo's next object."""
    left_out: np.ndarray | None = None
    """Numbers of photos."""
    excluded: np.ndarray | None = None
    """Of each sentence of the index, bool: known to be wrong; left out, or marked where every sentence is a sample."""

    @property
    def splits(self) -> tuple[str, ...]:
        return split_names(self.split)


def select_objects(index: SharedIndex, selection: Selection) -> np.ndarray:
    """Numbers of the objects, photo by photo, in the order in which photos first come."""
    chosen = np.flatnonzero(np.isin(index.split, [index.splits.index(split) for split in selection.splits]))
    for split in selection.apart_from:
        chosen = chosen[~np.isin(index.photo[chosen], photos_of(index, split))]
    if selection.left_out is not None:
        chosen = chosen[~np.isin(index.photo[chosen], selection.left_out)]
    _, first, photo = np.unique(index.photo[chosen], return_index=True, return_inverse=True)
    return chosen[np.argsort(first[photo], kind='stable')]


def photos_of(index: SharedIndex, split: str) -> np.ndarray:
    """Numbers of a split's photos."""
    return np.unique(index.photo[index.split == index.splits.index(split)])


def shared_photos(index: SharedIndex, selection: Selection) -> dict[str, int]:
    """How many photos of the selection other splits have, too, by split."""
    own = np.unique(index.photo[select_objects(index, selection)])
    others = (split for split in index.splits if split not in selection.splits)
    counts = {split: int(np.isin(own, photos_of(index, split)).sum()) for split in others}
    return {split: count for split, count in counts.items() if count}


def select_rows(index: SharedIndex, selection: Selection) -> np.ndarray:
    """(object, object that its sentences are of, number of the sentence or -1 for all): (samples, 3) int64.

    Empty sentences are left out, and objects that no other is left of.
    """
    target = select_objects(index, selection)
    target, speaker = _exchange(index, target) if selection.exchanged else (target, target)
    spoken = index.spoken(selection.key)
    if selection.excluded is not None and not selection.per_sentence:
        spoken &= ~selection.excluded
    start, end = index.sentence_start[speaker], index.sentence_end[speaker]
    if not selection.per_sentence:
        before = np.concatenate([[0], spoken.cumsum()])
        some = before[end] > before[start]
        return np.stack([target[some], speaker[some], np.full(some.sum(), -1)], 1)
    row = np.repeat(np.arange(len(target)), end - start)
    # 0, 1, ... within each object
    place = np.arange(len(row)) - np.repeat((end - start).cumsum() - (end - start), end - start)
    sentence = start[row] + place
    row, sentence = row[spoken[sentence]], sentence[spoken[sentence]]
    return np.stack([target[row], speaker[row], sentence], 1)


def empty_sentences(index: SharedIndex, selection: Selection) -> np.ndarray:
    """Numbers of the selection's sentences that say nothing, and their objects': (n, 2)."""
    chosen = select_objects(index, selection)
    empty = np.flatnonzero(~index.spoken(selection.key))
    owner = np.searchsorted(index.sentence_end, empty, side='right')
    mine = np.isin(owner, chosen)
    return np.stack([empty[mine], owner[mine]], 1)


def count_excluded(index: SharedIndex, selection: Selection) -> dict[str, int]:
    """How many of the selection's sentences are known to be wrong, and of how many refs this leaves none."""
    said = index.spoken(selection.key)
    wrong = np.zeros_like(said) if selection.excluded is None else selection.excluded
    owner = np.repeat(np.arange(len(index)), index.sentence_end - index.sentence_start)
    said &= np.isin(owner, select_objects(index, selection))
    refs = np.setdiff1d(owner[said & wrong], owner[said & ~wrong])
    return dict(refs=len(refs), sentences=int((said & wrong).sum()))


def _exchange(index: SharedIndex, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objects of photos that have others, and the next object of each one's photo; ``chosen`` comes photo by photo."""
    _, photo, count = np.unique(index.photo[chosen], return_inverse=True, return_counts=True)
    chosen, photo = chosen[count[photo] > 1], photo[count[photo] > 1]
    last = np.append(photo[1:] != photo[:-1], True)[: len(photo)]
    first = np.flatnonzero(np.append(True, last[:-1])[: len(photo)])
    following = np.arange(len(chosen)) + 1
    following[last] = first
    return chosen, chosen[following]


class Samples(Sequence):
    """The samples of a selection as a sequence of dicts, read when asked for; small to pickle.

    Args:
        index: of the annotation files.
        selection: which of them.
        sizes: (height, width) in pixels of photos, by number, whose size the files do not say.
        kept: numbers of the samples of the selection that are kept; None: all.
    """

    def __init__(
        self,
        index: SharedIndex,
        selection: Selection,
        sizes: dict[int, tuple[int, int]] | None = None,
        kept: np.ndarray | None = None,
    ):
        self.shared, self.selection, self.sizes, self.kept = index, selection, sizes or {}, kept
        self.rows = select_rows(index, selection)
        if kept is not None:
            self.rows = self.rows[kept]

    def __reduce__(self):
        return Samples, (self.shared, self.selection, self.sizes, self.kept)

    def subset(self, indices: int | Sequence[int] | np.ndarray) -> 'Samples':
        """The first samples, that many, or the last ones, if negative; or those of these numbers.

        Raises:
            ValueError: there are not as many, or no such numbers.
        """
        numbers = np.arange(len(self))
        if isinstance(indices, int):
            self._check([indices - 1 if indices > 0 else indices], indices)
            chosen = numbers[:indices] if indices >= 0 else numbers[indices:]
        else:
            self._check(indices, indices)
            chosen = numbers[np.asarray(indices, np.int64)]
        return Samples(self.shared, self.selection, self.sizes, chosen if self.kept is None else self.kept[chosen])

    def _check(self, numbers: Iterable, indices: Any) -> None:
        if isinstance(indices, bool) or any(isinstance(i, bool) or not isinstance(i, Integral) for i in numbers):
            raise ValueError(f'indices must be a whole number or a list of them; got {str(indices)[:80]}')
        if any(not -len(self) <= i < len(self) for i in numbers) and (len(self) or indices != 0):
            raise ValueError(f'indices={str(indices)[:80]}, but there are {len(self)} samples')

    def marked(self) -> np.ndarray:
        """Of each sample, bool: whether its sentence is known to be wrong."""
        excluded, sentence = self.selection.excluded, self.rows[:, 2]
        return np.zeros(len(self), bool) if excluded is None else (sentence >= 0) & excluded[sentence]

    def fingerprint(self) -> str:
        """A hash of what annotations say of the samples, in their order: names of photos, masks and sentences.

        Photos, and masks that are PNGs, are not read.
        """
        index, digest = self.shared, hashlib.md5(usedforsecurity=False)
        for target, speaker, sentence in self.rows.tolist():
            told = self._told(speaker) if sentence < 0 else [sentence]
            sentences = [index.text(s, self.selection.key) for s in told]
            said = [index.photo_name(index.photo[target]), index.parts(target), *sentences]
            digest.update(json.dumps(said, default=repr).encode())  # marshal's bytes are of a version of Python
        digest.update(self.marked().tobytes())
        return digest.hexdigest()

    def _told(self, speaker: int) -> list[int]:
        """Numbers of an object's sentences, without those that are left out."""
        excluded = self.selection.excluded
        told = self.shared.sentences(speaker, self.selection.key)
        return told if excluded is None else [s for s in told if not excluded[s]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        index, key = self.shared, self.selection.key
        target, speaker, sentence = map(int, self.rows[i])
        photo = int(index.photo[target])
        height, width = self.sizes.get(photo, index.size(photo))
        chosen = self._told(speaker) if sentence < 0 else [sentence]
        return dict(
            photo=photo,
            img_name=index.photo_name(photo),
            img_id=int(index.img_id[photo]),
            ref_id=int(index.ref_id[target]),
            height=height,
            width=width,
            segmentation=index.parts(target),
            sentences=[index.text(s, key) for s in chosen],
            sent_ids=[int(index.sent_id[s]) for s in chosen],
        )

    def __iter__(self):
        return (self[i] for i in range(len(self)))
