"""What MagNet is trained with. **Unverified**: its authors released no training code, and no recorded number checks any
of this. It was written from the paper's ideas; sizes, weights, temperatures and places are choices of ours."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models.losses import BinaryCrossEntropy

IGNORED = 255
"""Label of pixels that count nowhere."""


@MODELS.register_module()
class MagNetMaskLoss(nn.Module):
    """Binary cross entropy plus dice, of the mask at the truth's size. Unverified, see above.

    Args:
        dice_weight: of the second term.
    """

    def __init__(self, dice_weight: float = 1.0):
        super().__init__()
        self.dice_weight = dice_weight
        self.cross_entropy = BinaryCrossEntropy(IGNORED)

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """logits (B, 1, h, w), target (B, H, W) -> ``loss_bce`` and ``loss_dice``."""
        logits = F.interpolate(logits, target.shape[-2:], mode='bilinear', align_corners=True)
        counts = target != IGNORED
        score, truth = logits[:, 0].sigmoid() * counts, torch.where(counts, target, 0).to(logits.dtype)
        overlap, total = ((a).sum((1, 2)) for a in (score * truth, score + truth))
        dice = 1 - 2 * overlap / total.clamp(min=1e-6)
        return dict(loss_bce=self.cross_entropy(logits, target), loss_dice=self.dice_weight * dice.mean())


class MaskGrounding(nn.Module):
    """Words are hidden, and named again by what else is said and by the target: its features and its box.

    The paper's auxiliary task; unverified, see above. Which words are hidden is BERT's own rule (Devlin et al., 2019),
    to a routine of which the authors point in an issue.

    Args:
        channels: D, of a word, a multiple of ``heads``.
        feature_channels: of the map whose mean over the target is read.
        vocabulary: number of token ids.
        mask_id: token that stands for a hidden word; 103 in BERT's vocabulary.
        share: of the words, to be hidden.
        layers, heads: of the transformer that predicts.
        weight: of the loss.

    Raises:
        ValueError: a share or a ``mask_id`` out of range; ``channels`` that are no multiple of ``heads``.
    """

    def __init__(
        self,
        channels: int,
        feature_channels: int,
        vocabulary: int,
        mask_id: int = 103,
        share: float = 0.15,
        layers: int = 2,
        heads: int = 8,
        weight: float = 1.0,
    ):
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(f'share must be between 0 and 1; got {share}')
        if not 0 <= mask_id < vocabulary:
            raise ValueError(f'mask_id must be one of {vocabulary} ids; got {mask_id}')
        if channels % heads:
            raise ValueError(f'words of {channels} channels: expected a multiple of grounding.heads ({heads})')
        self.vocabulary, self.mask_id, self.share, self.weight = vocabulary, mask_id, share, weight
        self.region, self.box = nn.Linear(feature_channels, channels), nn.Linear(4, channels)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(channels, heads, 4 * channels, dropout=0.0, activation='gelu', batch_first=True)
            for _ in range(layers)
        )
        self.name = nn.Linear(channels, vocabulary)

    @torch.no_grad()
    def hide(self, token_ids: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids and mask (B, T) -> ids, some of them hidden, and which were chosen, (B, T) bool.

        Of the chosen, 8 of 10 become ``mask_id``, 1 any id, and 1 stays. The marks of begin and end are never chosen.
        """
        inside = word_mask.clone()
        inside[:, 0] = False
        inside[:, :-1] &= word_mask[:, 1:]  # the last word of each sentence
        inside[:, -1] = False
        chosen = inside & (torch.rand_like(token_ids, dtype=torch.float32) < self.share)
        dice = torch.rand_like(token_ids, dtype=torch.float32)
        any_id = torch.randint_like(token_ids, self.vocabulary)
        hidden = torch.where(dice < 0.8, self.mask_id, torch.where(dice < 0.9, any_id, token_ids))
        return torch.where(chosen, hidden, token_ids), chosen

    def forward(
        self, words: Tensor, word_mask: Tensor, features: Tensor, target: Tensor, token_ids: Tensor, chosen: Tensor
    ) -> Tensor:
        """Cross entropy of the words that were chosen; 0, where none was.

        Args:
            words: (B, T, D), of the sentence with its hidden words.
            word_mask: (B, T).
            features: (B, C, h, w).
            target: (B, H, W), 1 on the object.
            token_ids: (B, T), the true ones.
            chosen: (B, T).

        Returns:
            scalar.
        """
        share = _share(target, features.shape[-2:])
        region = (features.flatten(2) @ share[..., None])[..., 0] / share.sum(1, keepdim=True).clamp(min=1e-6)
        told = torch.stack([self.region(region), self.box(boxes_of(target == 1).to(region.dtype))], dim=1)
        x = torch.cat([told, words], dim=1)
        padding = torch.cat([word_mask.new_zeros(len(words), 2), ~word_mask], dim=1)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        losses = F.cross_entropy(self.name(x[:, 2:]).transpose(1, 2), token_ids, reduction='none')
        return self.weight * (losses * chosen).sum() / chosen.sum().clamp(min=1)


class Alignment(nn.Module):
    """Pixels of the target are near one another, and near the sentence; other pixels of the photo are not.

    The two contrasts of the paper's cross-modal alignment loss, pixel to pixel and pixel to text; unverified.

    Args:
        temperature: of both contrasts.
        weight: of the loss.
    """

    def __init__(self, temperature: float = 0.07, weight: float = 1.0):
        super().__init__()
        self.temperature, self.weight = temperature, weight

    def forward(self, features: Tensor, sentence: Tensor, target: Tensor) -> dict[str, Tensor]:
        """features (B, C, h, w), sentence (B, C), target (B, H, W) -> ``loss_pixels`` and ``loss_text``.

        A pixel of the map counts as much as the target covers it; a photo without a target counts 0.
        """
        share = _share(target, features.shape[-2:])
        pixels, sentence = F.normalize(features.flatten(2).mT, dim=-1), F.normalize(sentence, dim=-1)
        near = pixels @ pixels.mT / self.temperature  # (B, N, N)
        inside = (near + share.clamp(min=1e-6).log()[:, None]).logsumexp(2)
        of_pixels = near.logsumexp(2) - inside
        said = (pixels @ sentence[..., None])[..., 0] / self.temperature  # (B, N)
        of_text = said.logsumexp(1, keepdim=True) - said
        weights = share / share.sum(1, keepdim=True).clamp(min=1e-6)
        return {
            f'loss_{name}': self.weight * (losses * weights).sum(1).mean()
            for name, losses in (('pixels', of_pixels), ('text', of_text))
        }


def _share(target: Tensor, size: Sequence[int]) -> Tensor:
    """(B, H, W) labels -> how much of each cell of a map is the target, (B, h w)."""
    return F.adaptive_avg_pool2d((target == 1).float()[:, None], tuple(size)).flatten(1)


def boxes_of(masks: Tensor) -> Tensor:
    """(B, H, W) bool -> left, upper, right and lower border, from 0 to 1: (B, 4); all 0, where there is nothing."""
    sides = []
    for dim in (1, 2):  # over the rows: the columns that hold something; and the other way round
        there = masks.any(dim)
        places = torch.arange(there.shape[1], device=masks.device)
        first = torch.where(there, places, there.shape[1]).amin(1)
        last = torch.where(there, places + 1, 0).amax(1)
        sides.append(torch.stack([first.minimum(last), last], dim=1) / there.shape[1])
    return torch.stack([sides[0][:, 0], sides[1][:, 0], sides[0][:, 1], sides[1][:, 1]], dim=1)
