"""A batch of photos and sentences -> normalised images, token ids and word masks."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmseg.registry import MODELS
from torch import Tensor

from .encoders.text import HFTokenizer


@MODELS.register_module()
class ReferringDataPreProcessor(BaseDataPreprocessor):
    """The tokenizer lives here, with the model, since it must match the text encoder.

    Args:
        mean: of the channels, RGB, in [0, 255].
        std: of the channels, RGB, in [0, 255].
        tokenizer: arguments of :class:`HFTokenizer`.
        bgr_to_rgb: True for photos loaded by OpenCV, as the pipelines of mmcv do.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        tokenizer: dict | None = None,
        bgr_to_rgb: bool = True,
    ):
        super().__init__(non_blocking=True)  # a copy that waits for the GPU would make the GPU wait, too
        self.bgr_to_rgb = bgr_to_rgb
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.tokenizer = HFTokenizer(**(tokenizer or {}))
        # saved with the weights, which mean nothing with another tokenizer although every shape may fit
        self.register_buffer('vocabulary', torch.tensor(self.tokenizer.fingerprint()))

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Collate one batch onto the model's device.

        Args:
            data: ``inputs``, photos (3, H, W) uint8, as a list or stacked; ``data_samples``, a SegDataSample
                each with the metainfo ``sentence``.
            training: whether each sample comes with a photo of its own, augmented.

        Returns:
            the model's arguments: ``inputs`` (B, 3, H, W) float, or (1, 3, H, W) in evaluation where all sentences are
            about one photo; ``token_ids`` and ``word_mask`` (B, T); ``data_samples``.

        Raises:
            ValueError: photos of different sizes in one batch, or an empty sentence.
        """
        photos, samples = data['inputs'], data['data_samples']
        ids, mask = self.tokenizer([sample.sentence for sample in samples])
        if len({photo.shape for photo in photos}) > 1:
            raise ValueError(
                f'photos of one batch differ in size: {[tuple(p.shape[1:]) for p in photos]}. End the pipeline '
                'with Resize(keep_ratio=False) or use batch_size=1'
            )
        if not training and all(torch.equal(photo, photos[0]) for photo in photos):
            photos = photos[:1]
        inputs = torch.stack(self.cast_data(list(photos)))  # on the device: a stack of pinned photos is not pinned
        if self.bgr_to_rgb:
            inputs = inputs.flip(1)
        return dict(
            inputs=(inputs.float() - self.mean) / self.std,
            token_ids=self.cast_data(ids),
            word_mask=self.cast_data(mask),
            data_samples=self.cast_data(samples),
        )
