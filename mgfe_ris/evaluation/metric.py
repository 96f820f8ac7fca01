"""The metric of mmengine's runner around :mod:`mgfe_ris.evaluation.iou`."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmseg.registry import METRICS
from torch import Tensor

from .. import coco_masks
from ..output_files import whole_file
from ..structures import SOURCES, logits_of, mask_of, scores_and_mask
from .iou import intersection_and_union, iou_of, summarize
from .protocols import ScoringProtocol, read_protocols

USUAL = ScoringProtocol()


@METRICS.register_module()
class RefSegMetric(BaseMetric):
    """oIoU, mIoU and P@0.5 to P@0.9 in percent, at the size of the truth that the pipeline delivers: a prediction of
    another size is made anew from its logits, resized (bilinear).

    Args:
        per_sample: folder for ``<split>.jsonl``, a line per sample: photo, sentence, ids, IoU, intersection, union,
            and the RLEs of prediction and truth; where the data set says them, also ``others``, the photo's annotated
            objects without the target, ``same_category``, those of them of the target's category, ``reviewed_out``,
            whether a review found the sentence wrong, ``part``, the number of the data set among several, and
            ``category`` and ``category_id`` of the target; and ``protocols``, IoU, intersection and union by each of
            them. None: no files.
        ignore_index: label of pixels that count nowhere.
        collect_device: mmengine's; results go through the network, unless there is a ``collect_dir``.
        prefix: stands before the metrics' names, ``<prefix>/oIoU``: for several metrics beside each other.
        collect_dir: a folder that all processes share, to meet there.
        coco_json: also write ``<split>.coco.json`` to the folder, COCO's list of results: each sample's ``image_id``,
            ``category_id`` (0: not known), ``segmentation``, at the photo's own size whatever the truth's is,
            ``score``, the mean probability of the mask's pixels (0 if it is empty; left away where the model draws
            polygons, whose pixels have none), ``ref_id``, ``sent_id`` and ``sentence``.
        protocols: further ways to score the same logits, by name: arguments of
            :class:`mgfe_ris.evaluation.ScoringProtocol`. Their metrics come beside the others as
            ``<name>/oIoU``. They need the truth at the photo's own size: ``score_at='photo'`` in the data set.

    Attributes:
        by_category: of the last evaluation that wrote lines: ``count`` and the metrics named in :attr:`main` of each
            category, the most frequent first.
        written: names of the files that it wrote.
        dealt_batches: whether several processes get whole batches in turn; else single samples.
        error: what was in the way of one. It does not end the test, whose numbers may have taken hours: who wants the
            files has to look here.

    Raises:
        ValueError: a prediction of another size than the truth, or than the photo with ``coco_json``, without logits
            and polygons; ``coco_json`` without a folder; data sets of different protocols, which one number would mix;
            protocols that cannot be meant, or a truth that is not of the photo's size for them.

    Where the data set says ``reviewed_out``, all metrics come a second time without those samples: ``reviewed/oIoU``.
    """

    results: list[Any]

    def __init__(
        self,
        per_sample: str | None = None,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        coco_json: bool = False,
        protocols: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        if coco_json and per_sample is None:
            raise ValueError('coco_json=True needs per_sample, the folder to write to')
        super().__init__(collect_device, prefix, collect_dir)
        self.per_sample = per_sample
        self.ignore_index = ignore_index
        self.coco_json = coco_json
        self.protocols = read_protocols(protocols)
        self.by_category: dict[str, dict[str, float]] = {}
        self.written: list[str] = []
        self.error: OSError | None = None
        self.dealt_batches = False
        self._batches: list[int] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Of all metrics that it may give, prefix included."""
        records = [dict.fromkeys(self.counts, pixels) for pixels in (0, 10**6)]
        found = self.percentages([record | dict(protocols=dict.fromkeys(self.protocols, record)) for record in records])
        names = [*found, *(f'{REVIEWED}/{name}' for name in found)]
        return tuple(f'{self.prefix}/{name}' if self.prefix else name for name in names)

    @property
    def dataset_meta(self) -> dict | None:
        """The data set's ``metainfo``."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict | None) -> None:
        check_one_protocol(meta or {})
        if self.protocols:
            check_scored_at_photo(meta or {}, self.protocols)
        self._dataset_meta = meta

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Record each sample: reads ``pred_sem_seg``, ``gt_sem_seg`` and the metainfo.

        Counts stay on the device until all are there: a batch waits for a GPU once.
        """
        masks = [self._masks(sample) for sample in data_samples]
        self._batches.append(len(masks))
        counts = torch.stack([self._count_all(*pair, sample) for pair, sample in zip(masks, data_samples, strict=True)])
        wanted = [mask for pair in masks for mask in pair] if self.per_sample is not None else []
        in_photos = [self._in_photo(sample) for sample in data_samples] if self.coco_json else []
        scores = [score for _, score in in_photos]
        wanted += [mask for mask, _ in in_photos]
        counts, *found = _to_cpu([counts, *scores, *(mask == 1 for mask in wanted)])
        scores, wanted = found[: len(scores)], found[len(scores) :]
        for i, (sample, values) in enumerate(zip(data_samples, counts.tolist(), strict=True)):
            record, *others = (dict(zip(self.counts, of_one, strict=True)) for of_one in values)
            if self.protocols:
                record['protocols'] = dict(zip(self.protocols, others, strict=True))
            record |= {key: sample[key] for key in _KNOWN if key in sample}
            if self.per_sample is not None:
                record |= {key: sample[key] for key in ('img_path', 'img_id', 'ref_id', 'sent_id', 'sentence')}
                pred, truth = map(_rle, wanted[2 * i : 2 * i + 2])
                record |= dict(iou=self.iou(record), pred=pred, truth=truth)
                for name, found_by in record.get('protocols', {}).items():
                    found_by['iou'] = self.iou(found_by, self.protocols[name])
            if self.coco_json:
                segmentation = _rle(wanted[2 * len(data_samples) + i])
                record['coco'] = dict(segmentation=segmentation)
                if not scores[i].isnan():
                    record['coco']['score'] = scores[i].item()
            self.results.append(record)

    counts: tuple[str, ...] = ('intersection', 'union')
    """What :meth:`count` returns, by name."""

    def count(self, pred: Tensor, truth: Tensor) -> list[Tensor]:
        """Two masks (1, H, W) -> int64 scalars on their device."""
        return [n.squeeze(0) for n in intersection_and_union(pred, truth, self.ignore_index)]

    def _count_all(self, pred: Tensor, truth: Tensor, sample: dict) -> Tensor:
        """(1 + protocols, counts) on the device."""
        pairs = [(pred, truth), *(protocol.masks(sample, pred) for protocol in self.protocols.values())]
        return torch.stack([torch.stack(self.count(*pair)) for pair in pairs])

    def iou(self, record: dict, protocol: ScoringProtocol = USUAL) -> float:
        """Of one sample, in [0, 1]."""
        return float(iou_of(record['intersection'], record['union'], protocol.added))

    def _masks(self, sample: dict) -> tuple[Tensor, Tensor]:
        """Prediction and truth, of the truth's size."""
        pred, truth = sample['pred_sem_seg']['data'], sample['gt_sem_seg']['data']
        if pred.shape == truth.shape:
            return pred, truth
        if not SOURCES & sample.keys():
            raise ValueError(
                f'prediction {tuple(pred.shape)} and truth {tuple(truth.shape)} differ in size, and there are no '
                'seg_logits to resize'
            )
        return mask_of(logits_of(sample), truth.shape[-2:], sample)[None].long(), truth

    def _in_photo(self, sample: dict) -> tuple[Tensor, Tensor]:
        """The mask (1, height, width) at the photo's own size, and the mean probability of its pixels; NaN where they
        have none."""
        if not SOURCES & sample.keys() or 'ori_shape' not in sample:
            raise ValueError(
                "coco_json=True needs each sample's seg_logits, and ori_shape among the pipeline's meta_keys"
            )
        size = sample['ori_shape'][:2]
        if (logits := logits_of(sample)) is None:
            mask = mask_of(None, size, sample)
            return mask[None], torch.tensor(torch.nan, device=mask.device)
        scores, mask = scores_and_mask(logits, size, sample)
        return mask[None], (scores * mask).sum() / mask.sum().clamp(min=1)

    def evaluate(self, size: int) -> dict[str, float]:
        """mmengine's, which takes an element of ``results`` from each process in turn.

        Through the network, unless there is a ``collect_dir``: the current folder may be no shared one, or read-only.
        """
        if self.collect_dir is None:
            self.collect_device = 'gpu'  # which is mmengine's word for it
        batches, self._batches = self._batches, []
        if self.dealt_batches:
            records = iter(self.results)
            self.results = [list(islice(records, count)) for count in batches]
        return super().evaluate(size)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Reduce the records; runs in the main process only."""
        if self.dealt_batches:
            results = list(chain.from_iterable(results))
        if self.per_sample is not None:
            self.by_category = self._by_category(results)
            self._write(results, Path(self.per_sample), (self.dataset_meta or {}).get('split', 'results'))
        metrics = self.percentages(results)
        kept = [record for record in results if not record.get('reviewed_out')]
        if kept and any('reviewed_out' in record for record in results):
            metrics |= {f'{REVIEWED}/{name}': value for name, value in self.percentages(kept).items()}
        return metrics

    def _write(self, records: Sequence[dict], folder: Path, split: str) -> None:
        """All files that were asked for, or, up to the first that cannot be written, some."""
        lines = ({key: value for key, value in record.items() if key != 'coco'} for record in records)
        files: dict[str, Iterable[str]] = {
            f'{split}.jsonl': (json.dumps(line, ensure_ascii=False) + '\n' for line in lines)
        }
        if self.coco_json:
            files[f'{split}.coco.json'] = _coco_json(records)
        self.written, self.error = [], None
        try:
            for name, texts in files.items():
                with whole_file(folder / name) as part, part.open('w', **_AS_TEXT) as file:
                    file.writelines(texts)
                self.written.append(name)
        except OSError as error:
            self.error = error
            MMLogger.get_current_instance().error(f'{folder / name} cannot be written: {error}')

    def _by_category(self, records: Iterable[dict]) -> dict[str, dict[str, float]]:
        groups = defaultdict(list)
        for record in records:
            if 'category' in record:
                groups[record['category']].append(record)
        return {
            name: dict(count=len(group))
            | {k: v for k, v in self.percentages(group).items() if k.rpartition('/')[2] in self.main}
            for name, group in sorted(groups.items(), key=lambda named: -len(named[1]))
        }

    main: tuple[str, ...] = ('oIoU', 'mIoU')
    """The metrics that are also given per category."""

    def percentages(self, records: list[dict]) -> dict[str, float]:
        """Records of all samples -> metrics, and those of each protocol, ``<name>/<metric>``."""
        metrics = self.summarize(records)
        for name, protocol in self.protocols.items():
            found = self.summarize([record['protocols'][name] for record in records], protocol)
            metrics |= {f'{name}/{metric}': value for metric, value in found.items()}
        return metrics

    def summarize(self, records: list[dict], protocol: ScoringProtocol = USUAL) -> dict[str, float]:
        """Counts of all samples -> percentages."""
        intersections, unions = ([record[key] for record in records] for key in ('intersection', 'union'))
        return summarize(intersections, unions, protocol.added, protocol.strict)


REVIEWED = 'reviewed'
"""Stands before the names of metrics without the samples that a review found wrong."""
_KNOWN = ('part', 'others', 'same_category', 'category', 'category_id', 'reviewed_out')


def check_one_protocol(meta: Mapping[str, Any]) -> None:
    """Look whether one number may be made of the samples of a data set, by its metainfo.

    Raises:
        ValueError: its parts differ in what is compared, or how.
    """
    parts = meta.get('protocol', {}).get('parts', [])
    for key in ('score_at', 'sentence_key', 'per_sentence'):
        found = {json.dumps(part.get(key)): part for part in parts}
        if len(found) > 1:
            named = ((value, part.get('ann_folder') or part.get('ann_file')) for value, part in found.items())
            said = ', '.join(f'{value} of {name}' for value, name in named)
            raise ValueError(
                f'data sets that differ in {key} would be mixed in one number: {said}. Set it alike, or test each alone'
            )


def check_scored_at_photo(meta: Mapping[str, Any], protocols: Iterable[str]) -> None:
    """Look whether a data set, by its metainfo, keeps its truth at the photo's size; one that does not say passes.

    Raises:
        ValueError: it does not.
    """
    protocol = meta.get('protocol', {})
    for part in protocol.get('parts', [protocol]):
        if part.get('score_at', 'photo') != 'photo':
            raise ValueError(
                f"protocols {', '.join(protocols)}: the truth is at the input's size, and they need it at the photo's. "
                "Set score_at='photo' in the test's data set, e.g. --cfg-options "
                'test_dataloader.dataset.score_at=photo'
            )


def _to_cpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    """All in one copy, as bytes."""
    parts = [t.contiguous().view(-1).view(torch.uint8) for t in tensors]
    parts = torch.cat(parts).cpu().split([len(part) for part in parts])
    return [part.view(t.dtype).view(t.shape) for part, t in zip(parts, tensors, strict=True)]


# what is no letter, as half of a pair in broken JSON, becomes an escape, which JSON reads as what it was
_AS_TEXT: Any = dict(encoding='utf-8', errors='backslashreplace')


def _coco_json(records: Iterable[dict]) -> Iterable[str]:
    """The text of COCO's list of results, an entry per line."""
    for i, record in enumerate(records):
        entry = dict(image_id=record['img_id'], category_id=record.get('category_id', 0), **record['coco'])
        entry |= {key: record[key] for key in ('ref_id', 'sent_id', 'sentence')}
        yield ('[\n' if i == 0 else ',\n') + json.dumps(entry, ensure_ascii=False)
    yield '\n]\n'


def _rle(mask: Tensor) -> dict:
    rle = coco_masks.encode(np.asfortranarray(mask.squeeze(0).numpy().astype(np.uint8)))
    return dict(size=rle['size'], counts=rle['counts'].decode())
