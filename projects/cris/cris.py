"""CRIS: CLIP-Driven Referring Image Segmentation (Wang et al., CVPR 2022)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from cris_checkpoints import from_cris
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models import ReferringModel
from mgfe_ris.models.pixel_decoder import DynamicProjector, PixelDecoder, conv_norm, with_coordinates


@MODELS.register_module()
class CRIS(ReferringModel):
    """CLIP's two towers; a neck that the sentence's vector gates; pixels that read words; the sentence as a kernel.

    Args:
        encoder: config of a ``CLIPResNetEncoder`` with its attention pool.
        text_encoder: config of a ``CLIPTextTower``, whose sentence is ``'end'``.
        neck_channels: c3, c4, c5 of :class:`CRISNeck`; c4 is the width of words, too.
        decoder: arguments of :class:`mgfe_ris.models.pixel_decoder.PixelDecoder`, ``channels`` aside.
        data_preprocessor, loss, mask: see :class:`mgfe_ris.models.ReferringModel`.
        channels_last, compile: as of ``ReferringSegmentor``.

    Raises:
        ValueError: towers of CLIP that are not of one kind.
    """

    from_official = staticmethod(from_cris)

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        encoder: dict,
        text_encoder: dict,
        neck_channels: Sequence[int] = (256, 512, 1024),
        decoder: dict | None = None,
        loss: dict | None = None,
        mask: dict | None = None,
        channels_last: bool = False,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, mask=mask, init_cfg=init_cfg)
        self.encoder = MODELS.build(encoder)
        self.text_encoder = MODELS.build({'sentence': 'end', **text_encoder})
        channels, sentence = neck_channels[1], self.text_encoder.sentence_channels
        if self.encoder.out_channels[-1] != sentence or self.text_encoder.out_channels != channels:
            raise ValueError(
                f'the encoder ends with {self.encoder.out_channels[-1]} channels, the sentence has {sentence}; words '
                f'have {self.text_encoder.out_channels} and neck_channels[1] is {channels}: expected the same, twice'
            )
        self.neck = CRISNeck(self.encoder.out_channels[1:], neck_channels)
        self.decoder = PixelDecoder(channels, **(decoder or {}))
        self.projector = DynamicProjector(sentence, channels // 2)
        self.lay_out(channels_last, compile)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 1, H / 4, W / 4)."""
        text = self.text_encoder(token_ids, word_mask)
        _, *feats = self.encoder(image)
        x = self.neck(feats, text.sentence)
        x = self.decoder(x, text.words, hidden=~text.mask)
        return self.projector(x, text.sentence)


class CRISNeck(nn.Module):
    """Maps of strides 8, 16, 32 -> one of stride 16; the last one is multiplied by what the sentence says.

    Args:
        in_channels: of the three maps; the last is the sentence's, too.
        channels: c3, c4, c5.
    """

    def __init__(self, in_channels: Sequence[int], channels: Sequence[int]):
        super().__init__()
        (in3, in4, in5), (c3, c4, c5) = in_channels, channels
        self.txt_proj = nn.Sequential(nn.Linear(in5, c5, bias=False), nn.BatchNorm1d(c5), nn.ReLU(inplace=True))
        self.f1_v_proj = conv_norm(in5, c5, 1)
        self.norm_layer = nn.Sequential(nn.BatchNorm2d(c5), nn.ReLU(inplace=True))
        self.f2_v_proj, self.f2_cat = conv_norm(in4, c4, 3), conv_norm(c4 + c5, c4, 1)
        self.f3_v_proj, self.f3_cat = conv_norm(in3, c3, 3), conv_norm(c3 + c4, c4, 1)
        self.f4_proj5, self.f4_proj4, self.f4_proj3 = conv_norm(c5, c4, 3), conv_norm(c4, c4, 3), conv_norm(c4, c4, 3)
        self.aggr = conv_norm(3 * c4, c4, 1)
        self.coordconv = nn.Sequential(conv_norm(c4 + 2, c4, 3), conv_norm(c4, c4, 3))

    def forward(self, feats: Sequence[Tensor], sentence: Tensor) -> Tensor:
        """feats (B or 1, C_i, H_i, W_i), sentence (B, E) -> (B, c4, H_4, W_4)."""
        v3, v4, v5 = feats
        gate = self.txt_proj(sentence)[..., None, None]
        f5 = self.norm_layer(self.f1_v_proj(v5) * gate)
        f4 = self.f2_cat(_join(self.f2_v_proj(v4), _twice(f5)))
        f3 = self.f3_cat(_join(F.avg_pool2d(self.f3_v_proj(v3), 2), f4))
        joined = self.aggr(torch.cat([self.f4_proj3(f3), self.f4_proj4(f4), _twice(self.f4_proj5(f5))], dim=1))
        return self.coordconv(with_coordinates(joined))


def _join(of_photo: Tensor, of_sentences: Tensor) -> Tensor:
    """Channels side by side; one photo for all its sentences."""
    return torch.cat([of_photo.expand(len(of_sentences), -1, -1, -1), of_sentences], dim=1)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
