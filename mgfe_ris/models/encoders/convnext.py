"""ConvNeXt (Liu et al., CVPR 2022) with a slot for language after each stage."""

from torch import Tensor

from ..checkpoints import from_convolutional
from ..fusion.neck import Fuse
from .mmpretrain_backbones import ConvNeXt
from .pretrained import load_pretrained


# registered in __init__.py, which imports this file when a config first names it
class ConvNeXtEncoder(ConvNeXt):
    """mmpretrain's ConvNeXt (same arguments, same parameter names) with a slot for language between the stages.

    What the slot returns as feedback is added before the next stage's down-sampling; what goes to the decoder passes
    the stage's ``norm{i}``.

    Args:
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a file of OpenMMLab; None: mmpretrain's own random
            weights.
        kwargs: mmpretrain's ``ConvNeXt``: arch, drop_path_rate, ...

    Raises:
        ValueError: for ``out_indices`` and ``gap_before_final_norm``; every stage is returned, as a map.
    """

    def __init__(self, init_cfg: dict | list | None = None, **kwargs):
        for name in ('out_indices', 'gap_before_final_norm'):
            if name in kwargs:
                raise ValueError(f'ConvNeXtEncoder does not offer {name}={kwargs[name]}; leave it out')
        if init_cfg is not None:
            kwargs['init_cfg'] = init_cfg
        super().__init__(out_indices=(0, 1, 2, 3), gap_before_final_norm=False, **kwargs)

    @property
    def out_channels(self) -> tuple[int, ...]:
        """C_i of the four stages."""
        return tuple(self.channels)

    def init_weights(self) -> None:
        if not load_pretrained(self, from_convolutional, may_lack='norm[0-3]'):
            super().init_weights()

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """x (B, 3, H, W) normalised photos -> four normalised maps (B, C_i, H_i, W_i), strides 4, 8, 16, 32.

        Sizes are rounded down, as in mmpretrain. ``fuse`` as in Swin's.
        """
        outs = []
        for i, (downsample, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(downsample(x))
            out = x
            if fuse is not None:
                out, feedback = fuse(i, x)
                x = x + feedback
            outs.append(getattr(self, f'norm{i}')(out))
        return outs
