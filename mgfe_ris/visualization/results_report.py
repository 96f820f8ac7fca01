"""What a model gets right and wrong, from the lines that a test wrote about each sample."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import coco_masks
from ..training_words import words_of
from .draw import PREDICTION, caption, grid, outlined, overlay, read_photo, resized
from .markdown import markdown_table
from .statistics import COLOURS, MARKS

Record = Mapping[str, Any]
"""A line of ``<split>.jsonl``, see :class:`mgfe_ris.evaluation.RefSegMetric`."""

_TYPES: dict[str, tuple[type, ...]] = dict.fromkeys(('img_path', 'sentence'), (str,))
_TYPES |= dict.fromkeys(('img_id', 'ref_id', 'sent_id', 'intersection', 'union'), (int,))
_TYPES |= dict(iou=(int, float), pred=(dict,), truth=(dict,))
"""What a line must have."""


def read_results(path: str | Path) -> list[Record]:
    """The lines of ``<split>.jsonl``.

    A test names photos from the folder that it ran in: one that is not found from the current folder is looked for from
    those above the file, and ``img_path`` says where it is.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no line in it, or one that no test wrote; file and line are named.
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: no text in UTF-8 ({error})') from error
    if not text:
        raise ValueError(f'{path}: no samples')
    # not splitlines(): a sentence may hold what it takes for the end of a line, as U+2028
    lines = text.removesuffix('\n').split('\n')
    records = [_record(line, f'{path}, line {number}') for number, line in enumerate(lines, 1)]
    return [{**record, 'img_path': _photo_of(record['img_path'], Path(path))} for record in records]


def _photo_of(img_path: str, results: Path) -> str:
    if Path(img_path).is_file():
        return img_path
    places = (place / img_path for place in results.resolve().parents)
    return next((str(place) for place in places if place.is_file()), img_path)


def _record(line: str, place: str) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{place}: not JSON ({error}); was the test that wrote it interrupted?') from error
    if not isinstance(record, dict):
        raise ValueError(f'{place}: expected what a test says of a sample, got {line[:60]}')
    wrong = [key for key, types in _TYPES.items() if not isinstance(record.get(key), types)]
    if not isinstance(record.get('category', ''), str):
        wrong.append('category')
    wrong += [key for key in ('pred', 'truth') if key not in wrong and not _is_rle(record[key])]
    if wrong:
        raise ValueError(f'{place}: {", ".join(wrong)} missing or of another form than tools/test.py writes')
    return record


def _is_rle(mask: Mapping) -> bool:
    size, counts = mask.get('size'), mask.get('counts')
    return isinstance(counts, str) and isinstance(size, list) and [type(side) for side in size] == [int, int]


def side_by_side(results: Mapping[str, Sequence[Record]], chosen: Sequence[int], title: str = '') -> np.ndarray:
    """A row per sample, as in figures 5 and 6 of the paper: the photo with the target outlined, then what each model
    predicted, with its IoU.

    Args:
        results: of each model, the same samples in the same order.
        chosen: numbers of samples.
        title: stands above, ahead of what the colours mean.

    Raises:
        ValueError: the models were tested on different samples.
    """
    first = _same_samples(results)
    pictures = []
    for i in chosen:
        photo = resized(read_photo(first[i]['img_path']))
        pictures.append(caption(outlined(photo, decode_mask(first[i]['truth'])), f'"{first[i]["sentence"]}"'))
        for name, records in results.items():
            predicted = overlay(photo, decode_mask(records[i]['pred']), PREDICTION)
            pictures.append(caption(predicted, f'{name}: IoU {100 * records[i]["iou"]:.0f} %'))
    return titled(grid(pictures, 1 + len(results)), title + 'White line: the object that is meant. Orange: prediction.')


def worst(results: Mapping[str, Sequence[Record]], count: int) -> np.ndarray:
    """The objects on which the last model has its lowest IoU, as in figure 8 of the paper, each with the sentence that
    does worst, and the other models' predictions beside; of the same IoU those with the largest targets.

    Raises:
        ValueError: see :func:`side_by_side`.
    """
    name, records = list(results.items())[-1]
    of_objects: dict[tuple, int] = {}  # an object's sentences often fail together, and would fill the picture
    for i in sorted(range(len(records)), key=lambda i: (records[i]['iou'], -_area(records[i]))):
        of_objects.setdefault((records[i]['img_id'], records[i]['ref_id']), i)
    order = list(of_objects.values())[:count]
    missed = sum(records[i]['iou'] == 0 for i in of_objects.values())
    title = f'Lowest IoU of {name}: {len(order)} of {len(of_objects)} objects, each with its worst sentence. '
    if missed > len(order):
        title += f'{missed} objects have a sentence with an IoU of 0: shown are the largest of them. '
    return side_by_side(results, order, title)


def at_percentiles(records: Sequence[Record], percentiles: Sequence[float]) -> list[int]:
    """Numbers of the samples that stand there in the order of their IoU, the lowest first; each once.

    So nobody chose them, and they show a model as good as it is. Of the same IoU, the earlier line comes first.

    Args:
        percentiles: each in [0, 100]: 0, the sample of the lowest IoU; 100, of the highest.

    Raises:
        ValueError: a percentile beyond that.
    """
    if beyond := [percentile for percentile in percentiles if not 0 <= percentile <= 100]:
        raise ValueError(f'a percentile lies in [0, 100]; got {beyond[0]:g}')
    order = sorted(range(len(records)), key=lambda i: records[i]['iou'])
    return list(dict.fromkeys(order[round(percentile / 100 * (len(order) - 1))] for percentile in percentiles))


def titled(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture under lines of text."""
    return np.concatenate([caption(picture[:0], text, 14), picture])


FACTORS: Mapping[str, Callable[[Record], float | None]] = {
    'target size, % of the photo': lambda r: 100 * _area(r) / float(np.prod(r['truth']['size'])),
    'words in the sentence': lambda r: len(r['sentence'].split()),
    'other annotated objects in the photo': lambda r: r.get('others'),
    "other annotated objects of the target's category": lambda r: r.get('same_category'),
}
"""What may make a sample hard; None: the line does not say, since it is older, or the data set does not."""


def factors(records: Sequence[Record]) -> dict[str, np.ndarray | None]:
    """The :data:`FACTORS` of each sample; None for one that a sample lacks."""
    values = {name: [of(record) for record in records] for name, of in FACTORS.items()}
    return {name: None if None in found else np.array(found) for name, found in values.items()}


def plot_factors(results: Mapping[str, Sequence[Record]], out: str | Path) -> None:
    """A PNG: mean IoU of each model over each of the :data:`FACTORS`.

    Samples are grouped by values, see :func:`group`. Bars are 95 % intervals by cluster-robust standard errors: the
    sentences about a photo succeed and fail together. Models are tested on the same samples, so their difference is
    surer than the bars let it look: :func:`mgfe_ris.evaluation.paired_bootstrap` compares them.

    Raises:
        ValueError: see :func:`side_by_side`.
    """
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure

    first = _same_samples(results)
    photos = np.unique([record['img_id'] for record in first], return_inverse=True)[1]
    figure = Figure(figsize=(13, 9), layout='constrained')
    figure.suptitle(
        f'Mean IoU of {len(first)} sentences about {photos.max() + 1} photos; n: sentences in the group.\n'
        'Bars: 95 % intervals, sentences about one photo taken together (1.96 cluster-robust standard errors)',
        fontsize=11,
    )
    for axes, (factor, values) in zip(figure.subplots(2, 2, sharey=True).flat, factors(first).items(), strict=True):
        axes.set(xlabel=factor, ylim=(0, 100), ylabel='mean IoU, %')
        if values is None:
            axes.set_xticks([])
            axes.text(0.5, 0.5, _LACKING, ha='center', va='center', transform=axes.transAxes)
            continue
        number, labels = group(values)
        for k, (name, records) in enumerate(results.items()):
            iou = np.array([100 * record['iou'] for record in records])
            found = [mean_and_error(iou[number == g], photos[number == g]) for g in range(len(labels))]
            # side by side: bars in one another's place could not be told apart
            places = np.arange(len(labels)) + 0.08 * (k - (len(results) - 1) / 2)
            means, errors = np.transpose(found)
            axes.errorbar(
                places, means, yerr=1.96 * errors, capsize=3, label=name,
                color=COLOURS[k % len(COLOURS)], marker=MARKS[k % len(MARKS)],
                linestyle=('-', '--', ':', '-.')[k // len(COLOURS) % 4],
            )  # fmt: skip
        sizes = np.bincount(number)
        axes.set_xticks(range(len(labels)), [f'{text}\nn = {n}' for text, n in zip(labels, sizes, strict=True)])
        axes.grid(alpha=0.3)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc='outside lower center', ncols=min(len(names), 5))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


_LACKING = (
    'not counted in these results: they are of an older version,\nor the data have no instances.json.\n\n'
    'tools/test.py --out writes the counts of data\nin the form of RefCOCO.'
)
GROUPS, FEWEST = 6, 20


def group(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Put samples in at most six groups by value, none of fewer than 20 samples unless there are no more.

    Whole numbers keep groups of their own while there are no more than six of them; else groups are about as large as
    one another, and begin at numbers of two digits, so that what is printed is where they begin.

    Returns:
        the group of each sample, from 0; and what is in each: ``3``, ``4 to 6``, ``2.5 to < 4``.
    """
    whole = np.array_equal(values, np.round(values))
    starts = np.unique(values)
    if len(starts) > GROUPS:
        starts = np.quantile(values, np.arange(GROUPS) / GROUPS, method='higher')
    if not whole:
        starts = np.array([starts[0], *(float(f'{start:.2g}') for start in starts[1:])])
    starts = np.unique(starts)
    while len(starts) > 1 and (sizes := np.bincount(_group_of(values, starts), minlength=len(starts))).min() < FEWEST:
        small = int(sizes.argmin())
        left = small > 0 and (small + 1 == len(starts) or sizes[small - 1] <= sizes[small + 1])
        starts = np.delete(starts, small if left else small + 1)
    number = _group_of(values, starts)
    return number, [_label(values[number == g], g, starts, whole) for g in range(len(starts))]


def _group_of(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.maximum(np.searchsorted(starts, values, side='right') - 1, 0)


def _label(values: np.ndarray, g: int, starts: np.ndarray, whole: bool) -> str:
    if whole or len(starts) == 1:
        low, high = f'{values.min():.5g}', f'{values.max():.5g}'
        return low if low == high else f'{low} to {high}'
    if g == 0:
        return f'< {starts[1]:g}'
    return f'≥ {starts[g]:g}' if g + 1 == len(starts) else f'{starts[g]:g} to < {starts[g + 1]:g}'


def mean_and_error(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Mean and its cluster-robust standard error (Liang and Zeger 1986, with G / (G - 1) for G clusters).

    Args:
        values: (n,).
        clusters: (n,) whole numbers: samples of the same depend on one another.

    Returns:
        mean and error; the error of a single cluster is not a number.
    """
    mean = values.mean()
    of_clusters = np.bincount(np.unique(clusters, return_inverse=True)[1], weights=values - mean)
    count = len(of_clusters)
    if count == 1:
        return float(mean), float('nan')
    return float(mean), float(np.sqrt(count / (count - 1) * (of_clusters**2).sum()) / len(values))


def decode_mask(rle: Mapping[str, Any]) -> np.ndarray:
    """A mask of a line -> (height, width) bool."""
    return coco_masks.decode(rle) > 0


def category_table(results: Mapping[str, Sequence[Record]], most: int = 20) -> str:
    """Markdown: oIoU and mIoU of each model on the sentences about each category, in percent, the most frequent first.

    Args:
        results: of each model, the same samples in the same order.
        most: categories at most; the others are one row.

    Returns:
        the table; none, ``''``, if no line names a category.

    Raises:
        ValueError: see :func:`side_by_side`.
    """
    groups: dict[str, list[int]] = {}
    for i, record in enumerate(_same_samples(results)):
        if 'category' in record:
            groups.setdefault(record['category'], []).append(i)
    if not groups:
        return ''
    order = sorted(groups.items(), key=lambda named: -len(named[1]))
    rows = order[:most]
    if rest := order[most:]:
        rows.append((f'{len(rest)} others', [i for _, members in rest for i in members]))
    return _grouped_table('category', rows, results)


def unmet_table(results: Mapping[str, Sequence[Record]], words: Collection[str]) -> str:
    """Markdown: oIoU and mIoU of each model, in percent, on sentences none of whose words were new to it, and on those
    with one, and with more.

    Args:
        results: of each model, the same samples in the same order.
        words: of the training, in small letters.

    Raises:
        ValueError: see :func:`side_by_side`.
    """
    new = [len(set(words_of(record['sentence'])).difference(words)) for record in _same_samples(results)]
    rows = [(name, [i for i, n in enumerate(new) if min(n, 2) == k]) for k, name in enumerate(('0', '1', '2 or more'))]
    return _grouped_table('new words', [(name, members) for name, members in rows if members], results)


def _grouped_table(
    title: str, rows: Sequence[tuple[str, Sequence[int]]], results: Mapping[str, Sequence[Record]]
) -> str:
    """``rows``: what each is called, and the numbers of its samples."""
    head = [title, 'sentences', *(f'{name} {metric}' for name in results for metric in ('oIoU', 'mIoU'))]
    lines = []
    for name, members in rows:
        numbers = [n for records in results.values() for n in _overall_and_mean([records[i] for i in members])]
        lines.append([name, len(members), *(f'{number:.1f}' for number in numbers)])
    return markdown_table(head, lines)


def _overall_and_mean(records: Sequence[Record]) -> tuple[float, float]:
    """IoU in percent: over all pixels, and of the samples."""
    union = sum(record['union'] for record in records)
    overall = sum(record['intersection'] for record in records) / max(union, 1)
    return 100 * overall, 100 * float(np.mean([record['iou'] for record in records]))


def _same_samples(results: Mapping[str, Sequence[Record]]) -> Sequence[Record]:
    """The first model's, if the others' are the same."""
    reference, first = next(iter(results.items()))
    for name, records in results.items():
        if [_key(record) for record in records] != [_key(record) for record in first]:
            raise ValueError(f'{name} was tested on other samples than {reference}')
        if any(one['truth']['size'] != other['truth']['size'] for one, other in zip(records, first, strict=True)):
            raise ValueError(
                f'{name} and {reference} compared masks at other sizes, and their IoU are not to be set side by side: '
                'test both with the same score_at'
            )
    return first


def _key(record: Record) -> tuple:
    return record['img_path'], record['ref_id'], record['sent_id']


def _area(record: Record) -> int:
    return int(coco_masks.area(record['truth']))
