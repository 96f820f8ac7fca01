"""What a model thought of each pixel, kept for ensembles, thresholds and calibration."""

from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmseg.registry import HOOKS
from torch import Tensor

from ..sample_files import SampleFilesHook
from ..structures import NO_SCORES, MaskRule, SegDataSample, logits_of, target_logit


@HOOKS.register_module()
class LogitsHook(SampleFilesHook):
    """Write ``<split>/<photo>_<sent_id>.npz`` of every tested sample, of the arrays

    - ``logit``: (h, w) float16, the target's logit less the background's, at the model's own size.
    - ``photo_size``, ``input_size``: (2,) int64, height and width of photo and input.
    - ``to_input``: (2, 3) float64, where the input shows the photo in its own shape; see :mod:`mgfe_ris.structures`.
    - ``no_target_logit``: float32, where the model says whether the sentence means nothing in the photo.
    - ``threshold``, ``of``, ``resize``, ``align_corners``: how the model's logits become a mask, of
      :class:`mgfe_ris.structures.MaskRule`.
    - ``img_path``, ``sentence``: str; ``ids``: (3,) int64, those of photo, object and sentence.

    :func:`read_logits` reads it, for :func:`mgfe_ris.structures.scores_and_mask`, which brings logits to the photo.
    A file takes 2 bytes a pixel and about two kilobytes: see :func:`bytes_of_logits`. A model that draws polygons has
    none to write.
    """

    suffix = '.npz'

    def encode(self, sample: SegDataSample) -> bytes:
        """The content of a sample's file; a ValueError where there are no logits."""
        if (logits := logits_of(sample)) is None:
            raise ValueError(f'logits cannot be saved: {NO_SCORES}')
        logit = target_logit(logits.float())
        largest = float(np.finfo(np.float16).max)
        file = BytesIO()
        photo, rule = tuple(sample.ori_shape[:2]), sample.get('mask_rule') or MaskRule()
        beside: dict[str, Any] = {name: np.array(value) for name, value in asdict(rule).items()}
        if sample.get('to_input') is not None:
            beside['to_input'] = np.array(sample.to_input)
        if sample.get('no_target_logit') is not None:
            beside['no_target_logit'] = sample.no_target_logit.float().cpu().numpy()
        np.savez(
            file,
            logit=logit.clamp(-largest, largest).half().cpu().numpy(),
            photo_size=np.array(photo, np.int64),
            input_size=np.array(sample.get('img_shape', photo)[:2], np.int64),
            **beside,
            img_path=np.array(sample.img_path),
            sentence=np.array(sample.sentence),
            ids=np.array([sample.img_id, sample.ref_id, sample.sent_id], np.int64),
        )
        return file.getvalue()


def read_logits(path: str | Path) -> tuple[Tensor, SegDataSample]:
    """What :class:`LogitsHook` wrote -> logits (1, h, w) of the target, and the sample that says how to place them.

    Example::

        logits, sample = read_logits('logits/val/photo_3.npz')
        scores, mask = scores_and_mask(logits, sample.ori_shape, sample)
    """
    with np.load(path) as file:
        known = {name: file[name].tolist() for name in file.files if name != 'logit'}
        logits = torch.from_numpy(file['logit'])[None]
    rule = {name: known.pop(name) for name in asdict(MaskRule())}
    no_target = known.pop('no_target_logit', None)
    photo, size = (tuple(known.pop(name)) for name in ('photo_size', 'input_size'))
    img_id, ref_id, sent_id = known.pop('ids')
    sample = SegDataSample(
        metainfo=dict(known, ori_shape=photo, img_shape=size, img_id=img_id, ref_id=ref_id, sent_id=sent_id)
    )
    sample.set_metainfo(dict(mask_rule=MaskRule(**rule)))
    if no_target is not None:
        sample.no_target_logit = torch.tensor(no_target)
    return logits, sample


def bytes_of_logits(samples: int, height: int, width: int) -> int:
    """About how much :class:`LogitsHook` writes of so many samples, of an input of so many pixels."""
    return samples * (2 * height * width + 3072)
