"""What a data set holds: counts, sentences, words, and how large its targets are and where they lie."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from .draw import PREDICTION, TRUTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

CELLS = 32  # of the heat map, along each side
LONGEST = 15  # words: longer sentences share the last place of the histogram
FREQUENT = 20  # words drawn
SIZES = np.geomspace(0.01, 100, 21)  # edges of the histogram, % of the photo; smaller targets share its first place
# Okabe and Ito's, which colour-blind people can tell apart, with a mark each for prints in grey
COLOURS = [tuple(c / 255 for c in rgb) for rgb in (TRUTH, PREDICTION, (0, 158, 115), (204, 121, 167), (0, 0, 0))]
MARKS = 'osD^v'


@dataclass
class SplitStatistics:
    """Of one split; see :func:`count_samples`."""

    photos: int = 0
    no_target: int = 0  # samples whose sentences mean nothing in the photo
    lengths: Counter[int] = field(default_factory=Counter)  # words in a sentence -> sentences
    words: Counter[str] = field(default_factory=Counter)  # word in small letters -> sentences that have it
    sizes: list[float] = field(default_factory=list)  # of each target, % of the photo
    coverage: np.ndarray = field(default_factory=lambda: np.zeros((CELLS, CELLS)))  # % of targets that cover a place

    @property
    def sentences(self) -> int:
        return sum(self.lengths.values())

    def summary(self) -> dict[str, Any]:
        """Numbers for a table or a JSON file."""
        sentence_words = sum(length * count for length, count in self.lengths.items())
        return {
            'photos': self.photos,
            'objects': len(self.sizes),
            'without target': self.no_target,
            'sentences': self.sentences,
            'words per sentence': round(sentence_words / self.sentences, 2),
            'longest, words': max(self.lengths),
            'different words': len(self.words),
            'median size, % of photo': round(float(np.median(self.sizes)), 2) if self.sizes else None,
        }

    def report(self) -> dict[str, Any]:
        """The summary, and what the histograms show."""
        return {
            **self.summary(),
            'sentences by words': dict(sorted(self.lengths.items())),
            'targets by size': dict(edges=SIZES.round(4).tolist(), counts=_size_histogram(self.sizes).tolist()),
            'sentences by frequent word': dict(self.words.most_common(100)),
        }


def count_samples(samples: Iterable[dict]) -> SplitStatistics:
    """Read the samples of a split, one per object, once.

    Args:
        samples: with ``img_path``, ``sentences`` and ``gt_seg_map``, (H, W), 1 on the target; a sample without a mask,
            or with an empty one, is counted as one without a target.
    """
    found, photos = SplitStatistics(), set()
    for sample in samples:
        photos.add(sample['img_path'])
        for sentence in sample['sentences']:
            words = re.findall(r"[^\W_]+(?:['\u2019-][^\W_]+)*", sentence.lower())
            found.lengths[len(words)] += 1
            found.words.update(sorted(set(words)))  # an order that is the same in every run, for words that tie
        target = (sample['gt_seg_map'] == 1).astype(np.float32) if 'gt_seg_map' in sample else np.zeros((1, 1))
        if target.any():
            found.sizes.append(100 * float(target.mean()))
            found.coverage += 100 * cv2.resize(target, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        else:
            found.no_target += 1
    found.photos = len(photos)
    found.coverage /= max(len(found.sizes), 1)
    return found


def statistics_table(splits: Mapping[str, SplitStatistics]) -> str:
    """The summaries, a column per split."""
    columns = {name: split.summary() for name, split in splits.items()}
    rows = [['', *columns]]
    for key in next(iter(columns.values())):
        values = [column[key] for column in columns.values()]
        rows.append([key, *('-' if v is None else f'{v:,}' for v in values)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return '\n'.join(
        '  '.join([row[0].ljust(widths[0]), *(v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    )


def plot_statistics(splits: Mapping[str, SplitStatistics], out: str | Path, title: str = '') -> None:
    """Histograms, frequent words and, per split, where the targets lie, as a PNG."""
    # half a second, for drawing alone; without pyplot, which would change the user's backend
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 10), layout='constrained')
    figure.suptitle(title, fontsize=14)
    rows = figure.add_gridspec(2, 1, height_ratios=(1.35, 1))
    above, below = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
    axes = above.subplots(1, 3)
    _plot_lengths(axes[0], splits)
    _plot_sizes(axes[1], splits)
    _plot_words(axes[2], splits)
    _plot_places(below, splits)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def _styles(splits: Mapping[str, SplitStatistics]) -> Iterable[tuple[SplitStatistics, dict]]:
    for i, (name, split) in enumerate(splits.items()):
        look = dict(color=COLOURS[i % len(COLOURS)], marker=MARKS[i % len(MARKS)], markersize=5)
        yield split, dict(label=name, clip_on=False, **look)  # a mark on the axis is shown whole


def _plot_lengths(axes: Axes, splits: Mapping[str, SplitStatistics]) -> None:
    longest = max(max(split.lengths) for split in splits.values())
    places = range(1, min(longest, LONGEST) + 1)
    for split, style in _styles(splits):
        counts = [split.lengths[place] for place in places]
        counts[-1] = sum(count for length, count in split.lengths.items() if length >= places[-1])
        axes.plot(places, 100 * np.array(counts) / split.sentences, **style)
    axes.set(title='Length of the sentences', xlabel='words in the sentence', ylabel='sentences of the split, %')
    axes.set_xticks(places, [*map(str, places[:-1]), f'{places[-1]}' + '+' * (longest > LONGEST)])
    axes.set_ylim(0, None)
    axes.grid(alpha=0.3)
    axes.legend()


def _plot_sizes(axes: Axes, splits: Mapping[str, SplitStatistics]) -> None:
    middles = np.sqrt(SIZES[1:] * SIZES[:-1])
    smallest = min((min(split.sizes) for split in splits.values() if split.sizes), default=1)
    shown = SIZES[1:] > smallest
    for split, style in _styles(splits):
        axes.plot(middles[shown], 100 * _size_histogram(split.sizes)[shown] / max(len(split.sizes), 1), **style)
    axes.set_xscale('log')
    ticks = [tick for tick in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100) if tick >= SIZES[:-1][shown][0]]
    axes.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
    axes.minorticks_off()
    axes.set(title='Size of the targets', xlabel="target's area, % of the photo (five steps to a factor of ten)")
    axes.set(ylabel='targets of the split, %', ylim=(0, None))
    axes.grid(alpha=0.3)


def _plot_words(axes: Axes, splits: Mapping[str, SplitStatistics]) -> None:
    total = sum((split.words for split in splits.values()), Counter[str]())
    words = [word for word, _ in total.most_common(FREQUENT)]
    sentences = sum(split.sentences for split in splits.values())
    axes.barh(words, [100 * total[word] / sentences for word in words], color='0.85', label='all splits')
    if len(splits) > 1:
        for split, style in _styles(splits):
            axes.plot([100 * split.words[word] / split.sentences for word in words], words, linestyle='', **style)
        axes.legend(loc='lower right')
    axes.invert_yaxis()
    axes.set(title='Most frequent words', xlabel='sentences that have the word, %')
    axes.grid(alpha=0.3, axis='x')


def _plot_places(figure: SubFigure, splits: Mapping[str, SplitStatistics]) -> None:
    highest = max(float(split.coverage.max()) for split in splits.values())
    panels = figure.subplots(1, len(splits), squeeze=False)[0]
    for axes, (name, split) in zip(panels, splits.items(), strict=True):
        heat = axes.imshow(split.coverage, cmap='cividis', vmin=0, vmax=highest or 1, extent=(0, 100, 100, 0))
        axes.set(title=f'{name}: {len(split.sizes):,} targets', xlabel="% of the photo's width")
    panels[0].set_ylabel("% of the photo's height, from the top")
    figure.suptitle('Where the targets lie')
    scale = panels[-1].inset_axes((1.06, 0, 0.06, 1))  # as high as the panels
    figure.colorbar(heat, cax=scale, label='targets that cover the place, %')


def _size_histogram(sizes: list[float]) -> np.ndarray:
    return np.histogram(np.clip(sizes, SIZES[0], SIZES[-1]), SIZES)[0]
