"""A model that gives points, not logits: polygons around what the sentence means."""

from collections.abc import Sequence

from torch import Tensor

from ..structures import SegDataSample
from .base import ReferringModel, write_polygons


class PolygonModel(ReferringModel):
    """Photo and sentence -> polygons, of which masks are made as COCO's tools fill them.

    It runs through tests, inferencer, pictures and page as any other model. Its pixels have no scores: results say so,
    and what needs them (another threshold, saved logits, flipped test-time averaging, exported graphs) is refused.

    A subclass builds its parts, gives :meth:`segment`, and :meth:`segment_with_losses`, if it can be trained.

    Args:
        data_preprocessor: config, see :class:`ReferringDataPreProcessor`.
    """

    gives_scores = False

    def __init__(self, *, data_preprocessor: dict, init_cfg: dict | None = None):
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        del self.mask_rule  # how logits become a mask; there are none

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> vertices (B, P, N, 2) of P polygons each, x and y in pixels
        of the input, (0, 0) its upper left corner. NaN: no vertex; a polygon of less than three is none."""
        raise NotImplementedError

    def segment_with_losses(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What a training step calls: anything, which is not read, and the losses, by names with ``loss`` in them."""
        raise ValueError(f'{type(self).__name__} has no loss to train with: override segment_with_losses')

    def loss(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Nothing beside :meth:`segment_with_losses`: polygons have no loss of pixels."""
        return {}

    def predict(
        self, logits: Tensor, data_samples: Sequence[SegDataSample], no_target: Tensor | None = None
    ) -> Sequence[SegDataSample]:
        """Write ``polygons`` of :meth:`segment` and ``pred_sem_seg`` into the samples, and ``no_target_logit``, if it
        is known."""
        if logits.ndim != 4 or logits.shape[-1] != 2:
            raise ValueError(
                f'segment of {type(self).__name__}, a PolygonModel, must give vertices (sentences, polygons, vertices, '
                f'2); got {tuple(logits.shape)}'
            )
        return write_polygons(logits, data_samples, no_target)
