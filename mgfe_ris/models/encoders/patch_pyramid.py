"""Maps of strides 4 to 32 from those of a plain ViT, which have one size."""

from collections.abc import Sequence

from mmseg.models.necks import Feature2Pyramid
from torch import Tensor


class PatchPyramid(Feature2Pyramid):
    """The simple pyramid of ViTDet (Li et al., ECCV 2022), for photos of any size.

    Args:
        channels: C of each map.
    """

    def __init__(self, channels: int):
        # as in the decoder: a runner with several processes synchronises it, on a CPU it trains as it is
        super().__init__(channels, norm_cfg=dict(type='BN'))
        # an odd number of patches: the last row and column count, as in the other encoders
        self.downsample_2x.ceil_mode = True

    def forward(self, maps: Sequence[Tensor], photo: tuple[int, int], patch: tuple[int, int]) -> list[Tensor]:
        """Four maps (B, C, h, w) of whole patches, sizes of photo and patch in pixels -> strides p / 4, p / 2, p, 2 p.

        Their first two levels are finer than a patch, so part of a padded patch can be left out.
        """
        return [
            level[..., : -(-photo[0] * scale // patch[0]), : -(-photo[1] * scale // patch[1])]
            for level, scale in zip(super().forward(maps), (4, 2, 1, 1), strict=True)
        ]
