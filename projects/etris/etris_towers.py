"""CLIP's image towers in three stages, between which a bridge can reach the map."""

import torch
from torch import Tensor

from mgfe_ris.models.encoders import CLIPResNetEncoder, CLIPViTEncoder
from mgfe_ris.models.encoders.layout import to_map, to_tokens

STAGES = 3


class ResNetStages:
    """Layers 2, 3 and 4, after the stem and the first; the last map goes through the attention pool.

    Maps have strides 8, 16, 32; ``strides`` bring them to 16.
    """

    strides = (2, 1, 2)
    plain = False

    def __init__(self, encoder: CLIPResNetEncoder):
        if encoder.attnpool is None or encoder.out_norms is not None or len(encoder.widths) != 1 + STAGES:
            raise ValueError(
                'ETRIS needs a CLIPResNetEncoder with four stages, attention_pool=dict(...) and norm_outs=False'
            )
        self.encoder = encoder
        self.channels = encoder.widths[1:]

    def begin(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / 4, W / 4)."""
        return self.encoder.layer1(self.encoder.stem(image))

    def stage(self, k: int, x: Tensor) -> Tensor:
        """Stage k of three."""
        return getattr(self.encoder, f'layer{k + 2}')(x)

    def map_of(self, x: Tensor) -> Tensor:
        """What a stage gave, as (B, C, h, w)."""
        return x

    def add(self, x: Tensor, feedback: Tensor) -> Tensor:
        """What goes into the next stage: x, and a map of its size, for one photo or for each sentence."""
        return x + feedback

    def end(self, x: Tensor) -> Tensor:
        """What the last stage gave -> in the sentences' space, (B, E, h, w)."""
        return self.encoder.attnpool(x)


class ViTStages:
    """Thirds of the blocks; maps are those of the patches, the class token stays aside."""

    strides = (1, 1, 1)
    plain = True

    def __init__(self, encoder: CLIPViTEncoder):
        if encoder.projection_channels is None or len(encoder.blocks) % STAGES:
            raise ValueError(
                f'ETRIS needs a CLIPViTEncoder with projection_channels, and a multiple of {STAGES} blocks; '
                f'got {len(encoder.blocks)} blocks and projection_channels={encoder.projection_channels}'
            )
        self.encoder = encoder
        self.channels = [encoder.width] * STAGES

    def begin(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> tokens (B, 1 + n, D)."""
        patch = self.encoder.patch_size
        self.size = (-(-image.shape[2] // patch), -(-image.shape[3] // patch))
        return self.encoder.embed(image)

    def stage(self, k: int, x: Tensor) -> Tensor:
        """Stage k of three."""
        depth = len(self.encoder.blocks) // STAGES
        for block in self.encoder.blocks[k * depth : (k + 1) * depth]:
            x = block(x)
        return x

    def map_of(self, x: Tensor) -> Tensor:
        """The patches as (B, D, h, w)."""
        return to_map(x[:, 1:], self.size)

    def add(self, x: Tensor, feedback: Tensor) -> Tensor:
        """What goes into the next stage: tokens, and a map for the patches, for one photo or for each sentence."""
        first = x[:, :1].expand(feedback.shape[0], -1, -1)
        return torch.cat([first, x[:, 1:] + to_tokens(feedback)], dim=1)

    def end(self, x: Tensor) -> Tensor:
        """What the last stage gave -> in the sentences' space, (B, E, h, w)."""
        return self.encoder.project(x, self.size)


def stages_of(encoder: CLIPResNetEncoder | CLIPViTEncoder) -> ResNetStages | ViTStages:
    """The stages of either tower.

    Raises:
        ValueError: an encoder of another kind, or one whose last map is not in the sentences' space.
    """
    if isinstance(encoder, CLIPResNetEncoder):
        return ResNetStages(encoder)
    if isinstance(encoder, CLIPViTEncoder):
        return ViTStages(encoder)
    raise ValueError(f'ETRIS reads CLIPResNetEncoder or CLIPViTEncoder; got {type(encoder).__name__}')
