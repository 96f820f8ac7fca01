"""CLIP's Vision Transformer (Radford et al., ICML 2021) with slots for language."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..clip_checkpoints import from_clip_vit
from ..fusion.neck import Fuse
from ..renaming import State
from .clip_block import CLIPBlock, init_blocks
from .layout import to_map, to_tokens
from .patch_pyramid import PatchPyramid
from .position_table import resize_position_table
from .pretrained import load_pretrained

STAGES = 4


@MODELS.register_module()
class CLIPViTEncoder(BaseModule):
    """CLIP's image tower of attention, its blocks in four groups with a slot behind each.

    A model that does more between the blocks than a slot can runs them itself: ``embed``, ``blocks``, ``project``.

    Args:
        width: D, of a token.
        depth: blocks.
        patch_size: p, pixels of a patch's side.
        grid: side of the table of positions, in patches: 14 for photos of 224 pixels. A file's table of another side is
            resized when it is read; photos of other sizes resize the table in each forward.
        projection_channels: None: an encoder as ``ViTEncoder``, its maps normed and brought to strides p / 4 to 2 p by
            layers that no file holds. E: CLIP's own maps, all of stride p, the last one projected into the space of
            the sentences; 512 for ViT-B/16.
        head_channels: of a head; 64 in CLIP.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a file of OpenAI, of Hugging Face's CLIP, of ETRIS or
            of BarLeRIa.

    Raises:
        ValueError: if the blocks do not make four equal groups, or the heads do not make the width.
    """

    def __init__(
        self,
        width: int = 768,
        depth: int = 12,
        patch_size: int = 16,
        grid: int = 14,
        projection_channels: int | None = None,
        head_channels: int = 64,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if depth % STAGES:
            raise ValueError(f'CLIPViTEncoder makes {STAGES} equal groups of blocks; got {depth} blocks')
        self.width, self.patch_size, self.grid, self.projection_channels = width, patch_size, grid, projection_channels
        self.conv1 = nn.Conv2d(3, width, patch_size, stride=patch_size, bias=False)
        self.class_embedding = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positional_embedding = nn.Parameter(width**-0.5 * torch.randn(grid**2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(CLIPBlock(width, head_channels) for _ in range(depth))
        init_blocks(self.blocks, width)
        if projection_channels is None:
            self.out_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(STAGES))
            self.pyramid = PatchPyramid(width)
        else:
            self.ln_post = nn.LayerNorm(width)
            self.proj = nn.Parameter(width**-0.5 * torch.randn(width, projection_channels))

    @property
    def out_channels(self) -> tuple[int, ...]:
        """C_i of the four stages."""
        return (*[self.width] * (STAGES - 1), self.projection_channels or self.width)

    def init_weights(self) -> None:
        load_pretrained(self, self._convert, may_lack='out_norms|pyramid')

    def _convert(self, checkpoint: Mapping[str, Any]) -> State:
        state = from_clip_vit(checkpoint)
        if self.projection_channels is None:
            state = {k: v for k, v in state.items() if k != 'proj' and not k.startswith('ln_post.')}
        if (table := state.get('positional_embedding')) is not None:
            # in single precision: archives hold halves
            state['positional_embedding'] = resize_position_table(table.float(), (self.grid, self.grid))
        return state

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """x (B, 3, H, W) normalised photos -> four maps (B, C_i, H_i, W_i).

        Photos are padded at the right and the bottom to whole patches. ``fuse`` as in ``ViTEncoder``: it sees
        (B, D, H / p, W / p), its feedback is added to the patches that go on, and the last map that it sees is not
        projected.
        """
        photo = (x.shape[2], x.shape[3])
        size = (-(-photo[0] // self.patch_size), -(-photo[1] // self.patch_size))
        x = self.embed(x)
        depth = len(self.blocks) // STAGES
        stages = []
        for i in range(STAGES):
            for block in self.blocks[i * depth : (i + 1) * depth]:
                x = block(x)
            out = x
            if fuse is not None:
                fused, feedback = fuse(i, to_map(x[:, 1:], size))
                first = x[:, :1].expand(feedback.shape[0], -1, -1)
                out = torch.cat([first, to_tokens(fused)], dim=1)
                x = torch.cat([first, x[:, 1:] + to_tokens(feedback)], dim=1)
            stages.append(out)
        if self.projection_channels is not None:
            return [*(to_map(out[:, 1:], size) for out in stages[:-1]), self.project(stages[-1], size)]
        maps = [to_map(norm(out[:, 1:]), size) for norm, out in zip(self.out_norms, stages, strict=True)]
        return self.pyramid(maps, photo, (self.patch_size, self.patch_size))

    def embed(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> what goes into the first block (B, 1 + n, D): the class token, then the patches by rows."""
        height, width = image.shape[2:]
        x = self.conv1(F.pad(image, (0, -width % self.patch_size, 0, -height % self.patch_size)))
        places = resize_position_table(self.positional_embedding, (x.shape[2], x.shape[3]))
        x = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), to_tokens(x)], dim=1)
        return self.ln_pre(x + places)

    def project(self, tokens: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Tokens (B, 1 + n, D) behind the last block -> the patches in the sentences' space (B, E, h, w).

        Args:
            tokens: with the class token, which is left out.
            size: (h, w); None: a square.
        """
        side = round((tokens.shape[1] - 1) ** 0.5)
        return to_map(self.ln_post(tokens[:, 1:]) @ self.proj, size or (side, side))
