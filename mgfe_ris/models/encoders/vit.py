"""Plain Vision Transformer (Dosovitskiy et al., ICLR 2021) with slots for language and a simple pyramid."""

import torch
from mmengine.model import ModuleList
from torch import Tensor, nn

from ..checkpoints import from_vit
from ..fusion.neck import Fuse
from .layout import to_map, to_tokens
from .mmpretrain_backbones import VisionTransformer, resize_pos_embed
from .patch_pyramid import PatchPyramid
from .pretrained import load_pretrained

STAGES = 4


# registered in __init__.py, which imports this file when a config first names it
class ViTEncoder(VisionTransformer):
    """mmpretrain's ViT (same arguments, same parameter names), its blocks in four groups with a slot after each.

    Inside, all four stages have one size, a pixel a patch. What the slot returns as feedback is added to the patch
    tokens that go on; the class token sees language through attention alone. What goes to the decoder passes a layer
    norm of its own and a pyramid of up- and down-sampling (ViTDet, Li et al., ECCV 2022), which are learned here: no
    file of a ViT holds them.

    Args:
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a file of DINO's repository or OpenMMLab.
        kwargs: mmpretrain's ``VisionTransformer``: arch, img_size (of the position embeddings in the file), patch_size,
            drop_path_rate, ...

    Raises:
        ValueError: if the blocks do not make four equal groups, and for ``out_indices``, ``out_type``, ``final_norm``
            and ``patch_cfg``: every stage is returned, as a map of whole patches, normalised by itself.
    """

    def __init__(self, init_cfg: dict | list | None = None, **kwargs):
        for name in ('out_indices', 'out_type', 'final_norm', 'patch_cfg'):
            if name in kwargs:
                raise ValueError(f'ViTEncoder does not offer {name}={kwargs[name]}; leave it out')
        super().__init__(out_type='featmap', final_norm=False, init_cfg=init_cfg, **kwargs)
        if self.num_layers % STAGES:
            raise ValueError(f'ViTEncoder makes {STAGES} equal groups of blocks; got {self.num_layers} blocks')
        self.out_norms = ModuleList(nn.LayerNorm(self.embed_dims, eps=1e-6) for _ in range(STAGES))
        self.pyramid = PatchPyramid(self.embed_dims)

    @property
    def out_channels(self) -> tuple[int, ...]:
        """C_i of the four stages."""
        return (self.embed_dims,) * STAGES

    def init_weights(self) -> None:
        if not load_pretrained(self, from_vit, may_lack='out_norms|pyramid'):
            super().init_weights()

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """Run the groups of blocks and offer the slot after each.

        Args:
            x: (B, 3, H, W) normalised photos; any size, padded at the right and the bottom to whole patches.
            fuse: the slot's function, see :data:`mgfe_ris.models.fusion.neck.Fuse`; it sees (B, C, H / p, W / p),
                p = ``patch_size``. None: plain ViT.

        Returns:
            four maps, (B, C, H_i, W_i), strides p / 4, p / 2, p, 2 p, without what was padded.
        """
        photo = (x.shape[2], x.shape[3])
        x, size = self._embed(x)
        depth = self.num_layers // STAGES
        outs = []
        for i in range(STAGES):
            for block in self.layers[i * depth : (i + 1) * depth]:
                x = block(x)
            extra, patches = x[:, : self.num_extra_tokens], x[:, self.num_extra_tokens :]
            out = patches
            if fuse is not None:
                fused, feedback = fuse(i, to_map(patches, size))
                out = to_tokens(fused)
                x = torch.cat([extra.expand(feedback.shape[0], -1, -1), patches + to_tokens(feedback)], dim=1)
            outs.append(to_map(self.out_norms[i](out), size))
        return self.pyramid(outs, photo, self.patch_embed.projection.stride)

    def _embed(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(B, 3, H, W) -> tokens with positions (B, 1 + h w, C), the class token first, and (h, w)."""
        x, size = self.patch_embed(x)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + resize_pos_embed(
            self.pos_embed, self.patch_resolution, size, self.interpolate_mode, self.num_extra_tokens
        )
        return self.pre_norm(self.drop_after_pos(x)), size
