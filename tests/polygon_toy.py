"""A model that draws polygons and nothing else: about each photo the same ones, less of them the less is said."""

from pathlib import Path
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.apis import build_model, load_config, save_folder
from mgfe_ris.models import PolygonModel

SHARES = (((0.1, 0.2), (0.6, 0.2), (0.6, 0.47), (0.3, 0.47), (0.3, 0.9)), ((0.7, 0.5), (0.95, 0.5), (0.8, 0.97)))
"""Of the input's width and height, two polygons."""


@MODELS.register_module()
class PolygonToy(PolygonModel):
    """One polygon for a sentence of one word, both for a longer one; none where the first token is ``silent``."""

    def __init__(self, *, data_preprocessor: dict, silent: int = -1):
        super().__init__(data_preprocessor=data_preprocessor)
        self.silent = silent
        self.shares = nn.ParameterList(torch.tensor(shares) for shares in SHARES)
        self.lay_out()

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """-> vertices (B, 2, 5, 2)."""
        height, width = image.shape[-2:]
        drawn = torch.stack([token_ids[:, 0] != self.silent, word_mask.sum(1) > 3], dim=1)  # (B, 2)
        drawn &= token_ids[:, :1] != self.silent
        shares = nn.utils.rnn.pad_sequence(list(self.shares), True, padding_value=float('nan'))
        vertices = shares * shares.new_tensor([width, height])
        return vertices.where(drawn[..., None, None], float('nan'))

    def segment_with_losses(self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor) -> Any:
        """How far the first polygon's middle is from that of the photo."""
        return image, dict(loss_middle=(self.shares[0].mean(0) - 0.5).square().sum())


CONFIG = """
_base_ = ['mgfe_ris::_base_/datasets/letterbox_refshapes.py', 'mgfe_ris::_base_/schedules/tiny_10min.py',
          'mgfe_ris::_base_/default_runtime.py']
custom_imports = dict(imports=['mgfe_ris', 'polygon_toy'])
model = dict(
    type='PolygonToy',
    data_preprocessor=dict(type='ReferringDataPreProcessor', mean=(124, 117, 104), std=(58, 57, 57)),
)
test_evaluator = dict(protocols=dict(
    _delete_=True, own=dict(added=1e-6, strict=True), common_photo=dict(), common_64=dict(size=(64, 64))))
test_cfg = dict(splits=('val',), shuffled=())
train_cfg = dict(max_epochs=1)
visualizer = dict(vis_backends=[])
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
"""


def write_toy(folder: Path, data_root: Path | None = None) -> Path:
    """A folder with the model, ``polygon_toy.py`` and its weights, to be tested on a data root and to be loaded."""
    folder.mkdir(parents=True)
    config = folder / 'polygon_toy.py'
    config.write_text(CONFIG)
    return save_folder(build_model(load_config(config, data_root and dict(data_root=str(data_root)))), folder / 'saved')
