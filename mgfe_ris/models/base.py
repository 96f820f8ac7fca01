"""What every model here is: photo and sentence -> logits; and how logits become a mask."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch import Tensor

from ..structures import MaskRule, SegDataSample, mask_of


class ReferringModel(BaseModel):
    """A model of any shape. What trains, tests, infers, exports, measures and draws knows this class alone.

    A subclass builds its parts, gives :meth:`segment`, and ends ``__init__`` with :meth:`lay_out`. It may have losses
    of its own: those of the logits and the truth in :meth:`loss`, those of what lies inside of the model in
    :meth:`segment_with_losses`.

    An mmengine model, not mmseg's ``BaseSegmentor``: that one's ``encode_decode`` and ``postprocess_result`` know
    no sentence, and would have to be overridden whole.

    Args:
        data_preprocessor: config, see :class:`ReferringDataPreProcessor`.
        loss: config of ``(logits, target) -> scalar or dict of scalars``; None, where :meth:`loss` needs none.
        mask: arguments of :class:`mgfe_ris.structures.MaskRule`: how logits become a mask.
    """

    from_official: Callable[[Mapping[str, Any]], dict[str, Tensor]] | None = None
    """What the authors' code saved -> our weights, all but ``data_preprocessor.vocabulary``; None: not known."""
    to_official: Callable[[dict[str, Tensor]], Mapping[str, Any]] | None = None
    """Our weights -> what the authors' code loads, to be saved by ``torch.save``; None: not known."""
    gives_scores: bool = True
    """Whether there are logits; False: :class:`PolygonModel`."""

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        loss: dict | None = None,
        mask: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(MODELS.build(data_preprocessor), init_cfg)
        self.mask_rule = MaskRule(**(mask or {}))
        self.loss_function = MODELS.build(loss) if loss else None

    def lay_out(self, channels_last: bool = False, compile: bool | dict = False) -> None:
        """Lay the weights out so that convolutions run channels-last; turn :meth:`segment` into compiled graphs.

        A compiled model pads all sentences to ``max_tokens``, whatever its tokenizer's ``trim``.
        """
        if channels_last:
            self.to(memory_format=torch.channels_last)
        if compile is not False:
            self.pad_to_one_length()
            # hides the method of the class; with self as an argument, so that a copy of the model runs its own weights
            segment = torch.compile(type(self).segment, **({} if compile is True else compile))
            self.segment = partial(_one_graph_per_size, segment, self)  # type: ignore[method-assign]

    def pad_to_one_length(self) -> None:
        """All sentences, for what is compiled: in training, Inductor of torch 2.14 cannot order the strides of tensors
        that have an open number of words."""
        if (tokenizer := getattr(self.data_preprocessor, 'tokenizer', None)) is not None:
            tokenizer.trim = False

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 2, h, w) of background and target, or (B, 1, h, w)
        of the target alone; of any size."""
        raise NotImplementedError

    def segment_with_losses(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What a training step calls: the logits of :meth:`segment`, and losses of what lies inside of the model, by
        names with ``loss`` in them, to be added. They may read the truth, (B, H, W), see :func:`truth_of`."""
        return self.segment(image, token_ids, word_mask), {}

    def segment_with_no_target(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """What a prediction calls: the logits of :meth:`segment`, and a logit of each sentence, (B,), above 0 where it
        means nothing in its photo; None: the model does not say."""
        return self.segment(image, token_ids, word_mask), None

    def forward(
        self,
        inputs: Tensor,
        token_ids: Tensor,
        word_mask: Tensor,
        data_samples: Sequence[SegDataSample] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | Sequence[SegDataSample]:
        """What the preprocessor returns -> logits (``tensor``), losses (``loss``) or samples (``predict``).

        Args:
            inputs: (B, 3, H, W) normalised photos, or (1, 3, H, W) where all sentences are about one photo: what comes
                before the first fusion is then computed once.
            token_ids: (B, T).
            word_mask: (B, T), True = a word.
            data_samples: B samples; ``loss`` reads ``gt_sem_seg``, ``predict`` writes ``seg_logits``,
                ``no_target_logit``, if the model says it, and ``pred_sem_seg``, (1, height, width) of ``gt_sem_seg``,
                if there is one, else of the input.
            mode: ``tensor``, ``loss`` or ``predict``.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict'; got {mode!r}")
        if mode != 'tensor' and data_samples is None:
            raise ValueError(f'mode {mode!r} needs data_samples')
        if mode == 'tensor' or data_samples is None:
            return self.segment(inputs, token_ids, word_mask)
        if mode == 'loss':
            target = truth_of(data_samples)
            logits, own = self.segment_with_losses(inputs, token_ids, word_mask, target)
            losses = self.loss(logits, target)
            if own and 'loss' in losses:
                losses['loss_mask'] = losses.pop('loss')  # the runner calls the sum ``loss``
            return {**losses, **own}
        logits, no_target = self.segment_with_no_target(inputs, token_ids, word_mask)
        return self.predict(logits, data_samples, no_target)

    def loss(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Logits of :meth:`segment`, and the truth (B, H, W), see :func:`truth_of` -> named scalars, to be added."""
        if self.loss_function is None:
            raise ValueError(f'{type(self).__name__} has no loss to train with: name one in the config, model.loss')
        loss = self.loss_function(logits, target)
        return loss if isinstance(loss, dict) else {'loss': loss}

    def predict(
        self, logits: Tensor, data_samples: Sequence[SegDataSample], no_target: Tensor | None = None
    ) -> Sequence[SegDataSample]:
        """Write ``seg_logits`` and ``pred_sem_seg`` into the samples, ``no_target_logit``, if it is known, and
        ``mask_rule``, where it is not the usual.

        The mask has the size of the truth, as metrics that know nothing of logits want it.
        """
        return write_masks(logits, data_samples, self.mask_rule, no_target)


def truth_of(data_samples: Sequence[SegDataSample]) -> Tensor:
    """(B, H, W): the samples' ``gt_share``, where they have one, else their ``gt_sem_seg``."""
    truths = (sample.gt_share if 'gt_share' in sample else sample.gt_sem_seg for sample in data_samples)
    return torch.stack([truth.data.squeeze(0) for truth in truths])


_USUAL = MaskRule()


def write_masks(
    logits: Tensor, data_samples: Sequence[SegDataSample], rule: MaskRule, no_target: Tensor | None = None
) -> Sequence[SegDataSample]:
    """See :meth:`ReferringModel.predict`."""
    for i, (sample, logit) in enumerate(zip(data_samples, logits, strict=True)):
        sample.seg_logits = PixelData(data=logit)
        if no_target is not None:
            sample.no_target_logit = no_target[i]
        if rule != _USUAL:
            sample.set_metainfo(dict(mask_rule=rule))
        _write_mask(sample, logit, sample.get('img_shape', logit.shape[-2:])[:2])
    return data_samples


def write_polygons(
    polygons: Tensor, data_samples: Sequence[SegDataSample], no_target: Tensor | None = None
) -> Sequence[SegDataSample]:
    """See :meth:`mgfe_ris.models.PolygonModel.predict`."""
    for i, (sample, of_one) in enumerate(zip(data_samples, polygons, strict=True)):
        sample.polygons = of_one.detach()
        if no_target is not None:
            sample.no_target_logit = no_target[i]
        _write_mask(sample, None, sample.get('img_shape', ())[:2])
    return data_samples


def _write_mask(sample: SegDataSample, logits: Tensor | None, input_size: Sequence[int]) -> None:
    size = sample.gt_sem_seg.shape if 'gt_sem_seg' in sample else input_size
    sample.pred_sem_seg = PixelData(data=mask_of(logits, size, sample)[None].long())


def _one_graph_per_size(segment: Callable[..., Tensor], model: Any, image: Tensor, *words: Tensor) -> Tensor:
    # of sizes that are left open, it takes torch minutes to find out which windows they make
    torch._dynamo.mark_static(image, [2, 3])
    return segment(model, image, *words)
