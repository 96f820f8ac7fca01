"""SeqTR: A Simple yet Universal Network for Visual Grounding (Zhu et al., ECCV 2022), its segmentation."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from seqtr_checkpoints import from_seqtr, to_seqtr
from seqtr_points import outline_points, to_polygons, to_sequence
from seqtr_transformer import SequenceTransformer
from torch import Tensor, nn

from mgfe_ris.models import PolygonModel
from mgfe_ris.models.encoders.darknet import ConvNorm
from mgfe_ris.models.fit import check_text


@MODELS.register_module()
class SeqTR(PolygonModel):
    """Photo and sentence are joined by a product; a transformer says the points of an outline, number by number.

    Args:
        text_encoder: config of ``(ids, mask) -> text`` with a vector of the sentence, which a linear layer of ours
            makes as wide as the last map, where it is not.
        encoder: config of ``image -> maps``, of which those of strides 8, 16, 32 are read.
        points: N, of the outline.
        bins: of each axis.
        transformer: arguments of :class:`seqtr_transformer.SequenceTransformer`, sizes of map and sequence aside.
        centred: how training finds points, see :func:`seqtr_points.outline_points`.
        shuffled: share of a batch's samples whose points are said in another order, in training.
        smoothing: of the numbers that training wants.
        end_weight: of the end in the loss, and of each point that is none.
        data_preprocessor: see :class:`mgfe_ris.models.PolygonModel`.
        channels_last: as of ``ReferringSegmentor``.

    Raises:
        ValueError: parts that do not fit one another; a tokenizer that trims padding.
    """

    from_official = staticmethod(from_seqtr)
    to_official = staticmethod(to_seqtr)

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        text_encoder: dict,
        encoder: dict,
        points: int = 18,
        bins: int = 1000,
        transformer: dict | None = None,
        centred: bool = False,
        shuffled: float = 0.0,
        smoothing: float = 0.1,
        end_weight: float = 0.1,
        channels_last: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.text_encoder = MODELS.build(text_encoder)
        self.encoder = MODELS.build(encoder)
        if hasattr(self.data_preprocessor, 'tokenizer'):
            tokenizer = self.data_preprocessor.tokenizer
            check_text(tokenizer, self.text_encoder, {})
            if tokenizer.trim:
                raise ValueError('SeqTR reads padding, so that every batch needs the same: set tokenizer.trim=False')
        widths, sentence = self.encoder.out_channels[-3:], self.text_encoder.sentence_channels
        if sentence is None:
            raise ValueError("SeqTR reads the sentence as a whole: set text_encoder.sentence='mean'")
        # the official recurrent network is as wide as the last map; BERT, say, is not
        self.sentence = nn.Identity() if sentence == widths[-1] else nn.Linear(sentence, widths[-1])
        self.fusion = Fusion(widths)
        self.points, self.bins = points, bins
        self.centred, self.shuffled, self.smoothing, self.end_weight = centred, shuffled, smoothing, end_weight
        self.transformer = SequenceTransformer(widths[-1], 2 * points + 1, bins + 1, **(transformer or {}))
        self.lay_out(channels_last)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3 or 4, H, W), the fourth 1 on the photo and 0 on padding; ids and mask (B, T) -> one polygon
        each, (B, 1, N, 2), see :class:`mgfe_ris.models.PolygonModel`."""
        sequence = self.transformer.say(*self.read(image, token_ids, word_mask))
        return to_polygons(sequence, tuple(image.shape[-2:]), self.bins).to(image.dtype)

    def read(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Arguments of :meth:`segment` -> the joined map (B, C, h, w), and its padding (B, h, w), True = not of the
        photo."""
        sentence = self.sentence(self.text_encoder(token_ids, word_mask).sentence)
        x = self.fusion(self.encoder(image[:, :3])[-3:], sentence)
        inside = image[:, 3:] if image.shape[1] > 3 else torch.ones_like(image[:, :1])
        padding = F.interpolate(1 - inside, x.shape[-2:])[:, 0].bool()
        return x, padding.expand(len(x), -1, -1)

    def segment_with_losses(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of each number, given those before, (B, L, bins + 1), and their loss."""
        found = [outline_points(mask == 1, self.points, self.centred) for mask in target.cpu().numpy()]
        points = torch.stack([torch.from_numpy(of_one) for of_one in found]).to(image)
        return self.teach(image, token_ids, word_mask, points)

    def teach(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, points: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`segment_with_losses`, of points (B, 2, N), x and y in pixels, below 0 where there is none."""
        if self.shuffled:
            some = torch.rand(len(points), 1, 1, device=points.device) < self.shuffled
            order = torch.randperm(self.points, device=points.device)  # of the whole batch, as in the official code
            points = torch.where(some, points[:, :, order], points)
        sequence = to_sequence(points, tuple(image.shape[-2:]), self.bins)
        logits = self.transformer(*self.read(image, token_ids, word_mask), sequence)
        return logits, {'loss_points': self._loss(logits, sequence)}

    def _loss(self, logits: Tensor, sequence: Tensor) -> Tensor:
        spoken = F.one_hot(sequence, logits.shape[2]).to(logits.dtype)
        wanted = spoken * (1 - self.smoothing) + (1 - spoken) * self.smoothing / logits.shape[2]
        weight = 1 - (1 - self.end_weight) * spoken[..., self.bins]
        return -(weight * (wanted * logits.log_softmax(2)).sum(2)).mean()


class Fusion(nn.Module):
    """Finer maps are brought down to the coarsest one, whose product with the sentence is what is read.

    Args:
        channels: of the maps, finest first; the last one's is that of the sentence.
    """

    def __init__(self, channels: tuple[int, int, int]):
        super().__init__()
        fine, middle, coarse = channels
        self.down1 = nn.Sequential(nn.AvgPool2d(2), ConvNorm(fine, fine, 3))
        self.down2 = nn.Sequential(nn.AvgPool2d(2), ConvNorm(fine + middle, fine + middle, 3))
        width = fine + middle + coarse
        self.project = nn.Sequential(ConvNorm(width, width, 3), ConvNorm(width, coarse, 1))

    def forward(self, maps: list[Tensor], sentence: Tensor) -> Tensor:
        """maps (B or 1, C_i, h_i, w_i), sentence (B, C) -> (B, C, h, w)."""
        fine, middle, coarse = maps
        x = torch.cat([self.down1(fine), middle], dim=1)
        x = self.project(torch.cat([self.down2(x), coarse], dim=1))
        return x.tanh() * sentence.tanh()[..., None, None]
