"""Photos with padding, of which the model is told."""

from typing import Any

import torch
from mmseg.registry import MODELS

from mgfe_ris.models import ReferringDataPreProcessor


@MODELS.register_module()
class PaddedPreProcessor(ReferringDataPreProcessor):
    """Photos get a fourth channel: 1 on the photo, 0 on padding.

    Its samples say ``fitted``, see :class:`mgfe_ris.datasets.FitAndPad`; without it, there is no padding. Arguments as
    of :class:`mgfe_ris.models.ReferringDataPreProcessor`.
    """

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """See :class:`mgfe_ris.models.ReferringDataPreProcessor`; ``inputs`` are (B, 4, H, W)."""
        batch = super().forward(data, training)
        photos, samples = batch['inputs'], batch['data_samples'][: len(batch['inputs'])]
        inside = torch.zeros_like(photos[:, :1])
        for one, sample in zip(inside, samples, strict=True):
            height, width = sample.get('fitted', photos.shape[-2:])
            one[:, :height, :width] = 1
        return {**batch, 'inputs': torch.cat([photos, inside], dim=1)}
