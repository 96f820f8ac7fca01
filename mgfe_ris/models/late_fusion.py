"""Photo and sentence read apart, and joined after both encoders: the frame in which LAVT's authors rebuilt VLT and
LTS."""

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from mmseg.registry import MODELS
from torch import Tensor

from .base import ReferringModel
from .fit import check_text


class LateFusion(ReferringModel):
    """The last three maps of the photo, and the words and their mean -> two-class logits.

    A subclass says whose weights it can read. What can be computed of the photo alone is computed once for all
    sentences about it, where the head joins the two by :func:`side_by_side` or a product.

    Args:
        text_encoder: config of ``(ids, mask) -> text``, with ``sentence='mean'``.
        encoder: config of ``image -> maps``; of more than three, the last three are read.
        head: config of ``(maps, text) -> logits``; told the widths of what it reads in ``channels``, finest
            first, and ``text_channels``.
        data_preprocessor, loss, mask: see :class:`mgfe_ris.models.ReferringModel`.
        channels_last, compile: as of ``ReferringSegmentor``.

    Raises:
        ValueError: parts that do not fit one another; a text encoder without a vector of the sentence.
    """

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        text_encoder: dict,
        encoder: dict,
        head: dict,
        loss: dict | None = None,
        mask: dict | None = None,
        channels_last: bool = False,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, mask=mask, init_cfg=init_cfg)
        self.text_encoder = MODELS.build(text_encoder)
        self.encoder = MODELS.build(encoder)
        if self.text_encoder.sentence_channels is None:
            raise ValueError(f"{type(self).__name__} reads the sentence as a whole: set text_encoder.sentence='mean'")
        if hasattr(self.data_preprocessor, 'tokenizer'):
            check_text(self.data_preprocessor.tokenizer, self.text_encoder, {})
        if len(self.encoder.out_channels) < 3:
            raise ValueError(f'encoder.out_indices: expected three maps or more; got {self.encoder.out_channels}')
        widths = dict(channels=self.encoder.out_channels[-3:], text_channels=self.text_encoder.out_channels)
        self.head = MODELS.build({**widths, **head})
        self.lay_out(channels_last, compile)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 2, H, W).

        Raises:
            ValueError: one sample in training, whose batch norms have but one value to norm.
        """
        if self.training and token_ids.shape[0] * get_world_size() == 1:
            raise ValueError(
                f'{type(self).__name__} norms one value of each sample over the batch: it cannot be trained with '
                'batches of one sample. Set train_dataloader.batch_size to 2 or more'
            )
        text = self.text_encoder(token_ids, word_mask)
        logits = self.head(self.encoder(image)[-3:], text)
        return F.interpolate(logits, image.shape[-2:], mode='bilinear', align_corners=True)


def side_by_side(of_sentences: Tensor, of_photo: Tensor) -> Tensor:
    """Maps (B, C1, h, w) and (B or 1, C2, h, w) -> (B, C1 + C2, h, w): one photo for all its sentences."""
    return torch.cat([of_sentences, of_photo.expand(of_sentences.shape[0], -1, -1, -1)], dim=1)
