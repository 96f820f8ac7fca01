"""What all sections measure with: the device, and the models in small."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from ...config import input_size, load_config
from ...model import build_model
from ..small_models import Options, small_families, small_rows

NEEDS_CUDA = 'needs CUDA'
"""What stands where a CPU cannot tell."""
SENTENCES = ('the red ring on the left', 'a small blue star', 'the largest green shape that is not striped', 'it')


@dataclass(frozen=True)
class Bench:
    """Where and how large."""

    device: torch.device
    projects: Path
    """The folder of that name in a checkout."""
    scratch: Path
    """A folder for drawn photos and work dirs, to be deleted."""
    small: bool = False
    """As little of everything as shows that it runs."""

    @property
    def cuda(self) -> bool:
        return self.device.type == 'cuda'

    @property
    def naive_config(self) -> Path:
        name = 'tiny_refshapes' if self.small else 'swin-base_refcoco'
        return self.projects / f'naive_lavt/naive-lavt_{name}.py'

    def families(self) -> dict[str, tuple[Path, Options]]:
        """See :func:`small_families`; with ``small``, one of each kind."""
        found = small_families(self.projects)
        kinds = ('lavt_tiny', 'magnet_tiny', 'seqtr_tiny')  # logits, deformable attention, polygons
        return {name: found[name] for name in kinds} if self.small else found

    def rows(self) -> dict[str, tuple[Path, Options]]:
        """See :func:`small_rows`; none with ``small``."""
        return {} if self.small else small_rows()


def build_small(config: Path, options: Options, seed: int = 0) -> Any:
    """A small model with random weights on the CPU, none of which is at a border: zeros, and points that are sampled
    in the middle of a pixel, have gradients that rounding decides. Nothing is dropped at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(load_config(config, options, from_scratch=True))
        model.init_weights()
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.02 * torch.randn_like(weight)
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name in ('drop_prob', 'dropout', 'dropout_p', 'dropout_prob'):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


@cache
def size_of(config: Path) -> tuple[int, int]:
    """(height, width) of the photos of a small model: of those of 480 pixels, what divides into windows and patches."""
    height, width = input_size(load_config(config, from_scratch=True))
    return (64, 64) if max(height, width) > 256 else (height, width)


def small_batch(size: tuple[int, int], photos: int = 4, seed: int = 0) -> dict[str, Any]:
    """As a loader hands it out: photos with something in them, sentences of several lengths, and a truth."""
    generator = torch.Generator().manual_seed(seed)
    return pseudo_collate([_sample(size, SENTENCES[i % len(SENTENCES)], generator) for i in range(photos)])


def _sample(size: tuple[int, int], sentence: str, generator: torch.Generator) -> dict[str, Any]:
    height, width = size
    photo = torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)
    mask = torch.zeros(1, height, width, dtype=torch.long)
    top, left = (int(torch.randint(n // 2, (1,), generator=generator)) for n in size)
    mask[:, top : top + height // 3, left : left + width // 2] = 1
    photo[:, mask[0] == 1] //= 2
    known = dict(sentence=sentence, img_shape=size, ori_shape=size, fitted=size)
    return dict(inputs=photo, data_samples=SegDataSample(metainfo=known, gt_sem_seg=PixelData(data=mask)))
