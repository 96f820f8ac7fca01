"""The metric of mmengine's runner around :mod:`mgfe_ris.evaluation.iou`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from torch import Tensor

from .iou import intersection_and_union, summarize


@METRICS.register_module()
class RefSegMetric(BaseMetric):
    """oIoU, mIoU and P@0.5 to P@0.9 in percent, at the size of the truth that the pipeline delivers: a prediction of
    another size is made anew from its logits, resized (bilinear).

    Args:
        per_sample: folder for ``<split>.jsonl``, a line per sample: photo, sentence, ids, IoU, intersection, union,
            and the RLEs of prediction and truth; where the data set says them, also ``others``, the photo's annotated
            objects without the target, ``same_category``, those of them of the target's category, ``reviewed_out``,
            whether a review found the sentence wrong, and ``part``, the number of the data set among several.
            None: no files.
        ignore_index: label of pixels that count nowhere.
        collect_device: ``cpu`` or ``gpu``, where several processes meet.

    Raises:
        ValueError: a prediction of another size than the truth, without logits; data sets of different protocols, which
            one number would mix.

    Where the data set says ``reviewed_out``, all metrics come a second time without those samples: ``reviewed/oIoU``.
    """

    def __init__(self, per_sample: str | None = None, ignore_index: int = 255, collect_device: str = 'cpu'):
        super().__init__(collect_device)
        self.per_sample = per_sample
        self.ignore_index = ignore_index

    @property
    def dataset_meta(self) -> dict | None:
        """The data set's ``metainfo``."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict | None) -> None:
        check_one_protocol(meta or {})
        self._dataset_meta = meta

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Record each sample: reads ``pred_sem_seg``, ``gt_sem_seg`` and the metainfo.

        Counts stay on the device until all are there: a batch waits for a GPU once.
        """
        masks = [self._masks(sample) for sample in data_samples]
        counts = torch.stack([torch.stack(self.count(*pair)) for pair in masks])
        wanted = [mask for pair in masks for mask in pair] if self.per_sample is not None else []
        counts, *wanted = _to_cpu([counts, *(mask == 1 for mask in wanted)])
        for i, (sample, values) in enumerate(zip(data_samples, counts.tolist(), strict=True)):
            record = dict(zip(self.counts, values, strict=True))
            record |= {key: sample[key] for key in _KNOWN if key in sample}
            if self.per_sample is not None:
                record |= {key: sample[key] for key in ('img_path', 'img_id', 'ref_id', 'sent_id', 'sentence')}
                pred, truth = map(_rle, wanted[2 * i : 2 * i + 2])
                record |= dict(iou=self.iou(record), pred=pred, truth=truth)
            self.results.append(record)

    counts: tuple[str, ...] = ('intersection', 'union')
    """What :meth:`count` returns, by name."""

    def count(self, pred: Tensor, truth: Tensor) -> list[Tensor]:
        """Two masks (1, H, W) -> int64 scalars on their device."""
        return [n.squeeze(0) for n in intersection_and_union(pred, truth, self.ignore_index)]

    def iou(self, record: dict) -> float:
        """Of one sample, in [0, 1]."""
        return record['intersection'] / max(record['union'], 1)

    def _masks(self, sample: dict) -> tuple[Tensor, Tensor]:
        """Prediction and truth, of the truth's size."""
        pred, truth = sample['pred_sem_seg']['data'], sample['gt_sem_seg']['data']
        if pred.shape == truth.shape:
            return pred, truth
        if 'seg_logits' not in sample:
            raise ValueError(
                f'prediction {tuple(pred.shape)} and truth {tuple(truth.shape)} differ in size, and there are no '
                'seg_logits to resize'
            )
        logits = sample['seg_logits']['data'][None].float()
        logits = F.interpolate(logits, truth.shape[-2:], mode='bilinear', align_corners=False)
        return logits[0].argmax(0, keepdim=True), truth

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Reduce the records; runs in the main process only."""
        if self.per_sample is not None:
            folder = Path(self.per_sample)
            folder.mkdir(parents=True, exist_ok=True)
            split = (self.dataset_meta or {}).get('split', 'results')
            lines = [json.dumps(record, ensure_ascii=False) + '\n' for record in results]
            (folder / f'{split}.jsonl').write_text(''.join(lines), encoding='utf-8')
        metrics = self.summarize(results)
        kept = [record for record in results if not record.get('reviewed_out')]
        if kept and any('reviewed_out' in record for record in results):
            metrics |= {f'reviewed/{name}': value for name, value in self.summarize(kept).items()}
        return metrics

    def summarize(self, records: list[dict]) -> dict[str, float]:
        """Records of all samples -> percentages."""
        return summarize([r['intersection'] for r in records], [r['union'] for r in records])


_KNOWN = ('part', 'others', 'same_category', 'reviewed_out')


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


def _to_cpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    """All in one copy, as bytes."""
    parts = [t.contiguous().view(-1).view(torch.uint8) for t in tensors]
    parts = torch.cat(parts).cpu().split([len(part) for part in parts])
    return [part.view(t.dtype).view(t.shape) for part, t in zip(parts, tensors, strict=True)]


def _rle(mask: Tensor) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask.squeeze(0).numpy().astype(np.uint8)))
    return dict(size=rle['size'], counts=rle['counts'].decode())
