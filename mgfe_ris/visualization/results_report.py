"""What a model gets right and wrong, from the lines that a test wrote about each sample."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask

from .comparison import compare
from .draw import PREDICTION, TRUTH, caption, grid, overlay, read_photo, resized

Record = Mapping[str, Any]
"""A line of ``<split>.jsonl``, see :class:`mgfe_ris.evaluation.RefSegMetric`."""


def read_results(path: str | Path) -> list[Record]:
    """The lines of ``<split>.jsonl``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no line in it.
    """
    records = [json.loads(line) for line in Path(path).read_text(encoding='utf-8').splitlines()]
    if not records:
        raise ValueError(f'{path}: no samples')
    return records


def side_by_side(results: Mapping[str, Sequence[Record]], chosen: Sequence[int]) -> np.ndarray:
    """A row per sample: the truth, then what each model predicted, with its IoU.

    Args:
        results: of each model, the same samples in the same order.
        chosen: numbers of samples.

    Raises:
        ValueError: the models were tested on different samples.
    """
    first = next(iter(results.values()))
    for name, records in results.items():
        if [_key(record) for record in records] != [_key(record) for record in first]:
            raise ValueError(f'{name} was tested on other samples than {next(iter(results))}')
    pictures = []
    for i in chosen:
        photo = resized(read_photo(first[i]['img_path']))
        truth = overlay(photo, _mask(first[i]['truth']), TRUTH)
        pictures.append(caption(truth, f'truth: {first[i]["sentence"]}'))
        for name, records in results.items():
            predicted = overlay(photo, _mask(records[i]['pred']), PREDICTION)
            pictures.append(caption(predicted, f'{name}, IoU {100 * records[i]["iou"]:.0f} %'))
    return grid(pictures, 1 + len(results))


def worst(records: Sequence[Record], count: int, columns: int = 2) -> np.ndarray:
    """The samples with the lowest IoU, of those with the same the ones with the largest targets: photo, truth, mask."""
    ordered = sorted(records, key=lambda record: (record['iou'], -_area(record)))
    return grid(
        [
            compare(
                read_photo(record['img_path']),
                record['sentence'],
                _mask(record['truth']),
                _mask(record['pred']),
                record['iou'],
            )
            for record in ordered[:count]
        ],
        columns,
        gap=12,
    )


def factors(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """Of each sample: ``target size`` in percent of the photo, ``words`` of the sentence, and ``other objects``: how
    many others of the same photo have sentences in this split."""
    objects = defaultdict(set)
    for record in records:
        objects[record['img_id']].add(record['ref_id'])
    return {
        'target size, % of the photo': np.array([100 * _area(r) / np.prod(r['truth']['size']) for r in records]),
        'words in the sentence': np.array([len(r['sentence'].split()) for r in records]),
        'other objects in the photo': np.array([len(objects[r['img_id']]) - 1 for r in records]),
    }


def plot_factors(results: Mapping[str, Sequence[Record]], out: str | Path) -> None:
    """A PNG: mean IoU of each model over size of the target, length of the sentence, and number of other objects.

    Samples are grouped by values, at most six groups of about as many samples; bars are the standard error.
    """
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout='constrained')
    by_model = {name: factors(records) for name, records in results.items()}
    names = list(next(iter(by_model.values())))
    for axes, factor in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        values = np.concatenate([found[factor] for found in by_model.values()])
        edges = _edges(values)
        for model, records in results.items():
            iou = 100 * np.array([record['iou'] for record in records])
            group = np.digitize(by_model[model][factor], edges[1:-1])
            there = [g for g in range(len(edges) - 1) if (group == g).any()]
            means = [iou[group == g].mean() for g in there]
            errors = [iou[group == g].std() / np.sqrt((group == g).sum()) for g in there]
            axes.errorbar(there, means, yerr=errors, marker='o', capsize=3, label=model)
        axes.set_xticks(range(len(edges) - 1), _labels(values, edges), rotation=20)
        axes.set(xlabel=factor, ylim=(0, 100))
        axes.grid(alpha=0.3)
    figure.axes[0].set(ylabel='mean IoU, %')
    figure.axes[-1].legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def _edges(values: np.ndarray) -> np.ndarray:
    """Where groups begin, and behind the last: counts keep their own groups while there are no more than six."""
    different = np.unique(values)
    if len(different) <= 6:
        return np.append(different, different[-1] + 1)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, 7), method='nearest'))
    return np.append(edges[:-1], np.nextafter(float(edges[-1]), np.inf))


def _labels(values: np.ndarray, edges: np.ndarray) -> list[str]:
    """The lowest and the highest value of each group."""
    group = np.digitize(values, edges[1:-1])
    groups = [values[group == g] for g in range(len(edges) - 1)]
    digits = 0 if np.array_equal(values, np.round(values)) else 1
    ends = [(f'{of.min():.{digits}f}', f'{of.max():.{digits}f}') for of in groups]
    return [low if low == high else f'{low} - {high}' for low, high in ends]


def _key(record: Record) -> tuple:
    return record['img_path'], record['ref_id'], record['sent_id']


def _mask(rle: Mapping[str, Any]) -> np.ndarray:
    return coco_mask.decode(rle) > 0


def _area(record: Record) -> int:
    return int(coco_mask.area(record['truth']))
