"""Flip test-time augmentation, of a task in which the sentence has to turn with the photo."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from ...datasets.augmentations import swap_left_right, turns_with_photo
from ...engine.weights import unwrap
from ...structures import NO_SCORES, gives_scores


@MODELS.register_module()
class FlipTTA(BaseTTAModel):
    """The mean of two predictions: of the photo, and of its mirror image with left and right exchanged in the words.

    Where that would not make the sentence true again, see :func:`turns_with_photo`, it is the first alone.

    Logits are averaged, so that all that reads ``seg_logits`` goes on as without. The batch is mirrored here, after
    any pipeline and sampler: mmengine's ``TestTimeAug`` would have to stand in the pipeline of every config. A sentence
    that is too long for the model is cut, and counted, once in each reading.

    Args:
        module: a :class:`ReferringModel`, or what wraps one; or its config.

    Raises:
        ValueError: a model that draws polygons, of which there is no mean.
    """

    def __init__(self, module: Any, **kwargs: Any):
        super().__init__(module, **kwargs)
        if not gives_scores(unwrap(self.module)):
            raise ValueError(f'test-time augmentation is the mean of two readings; {NO_SCORES}: test it without')

    def test_step(self, data: dict) -> Sequence[SegDataSample]:
        """A batch as the data loader hands it out -> its samples, as the segmentor's."""
        as_they_are, mirrored = self.module.test_step(data), self.module.test_step(mirror(data))
        return self.merge_preds(list(zip(as_they_are, mirrored, strict=True)))

    def merge_preds(self, data_samples_list: Sequence[Sequence[SegDataSample]]) -> Sequence[SegDataSample]:
        """(as it is, mirrored) of each sample -> the samples as they are, with the mean of both logits, and of both
        that say whether the sentence means nothing."""
        logits = [
            _read_together(one, one.seg_logits.data.float(), other.seg_logits.data.float().flip(-1))
            for one, other in data_samples_list
        ]
        model: Any = unwrap(self.module)
        no_target = None
        if all('no_target_logit' in sample for sample, _ in data_samples_list):
            no_target = torch.stack(
                [_read_together(one, one.no_target_logit, other.no_target_logit) for one, other in data_samples_list]
            )
        return model.predict(logits, [sample for sample, _ in data_samples_list], no_target)


def _read_together(sample: SegDataSample, plain: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    return (plain + mirrored) / 2 if turns_with_photo(sample.sentence) else plain


def mirror(data: dict) -> dict[str, Any]:
    """A batch, ``inputs`` (3, H, W) and ``data_samples`` -> the same mirrored, without truth."""
    turned = (dict(sample.metainfo, sentence=swap_left_right(sample.sentence)) for sample in data['data_samples'])
    return dict(
        inputs=[photo.flip(-1) for photo in data['inputs']],
        data_samples=[SegDataSample(metainfo=metainfo) for metainfo in turned],
    )
