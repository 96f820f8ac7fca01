"""SeqTR's words: a table that is not trained, and a recurrent network that reads them from both sides."""

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.structures import Text


@MODELS.register_module()
class SeqTRTextEncoder(BaseModule):
    """A table, and a gated recurrent unit (GRU) of two directions. It reads padding, too: the backward direction begins
    there. A sentence is the largest value of each channel over its words.

    Args:
        vocabulary_size: rows of the table.
        table_channels: of its rows; 300 in spaCy's vectors, of which the authors make it.
        channels: D, of each direction.
        frozen_table: whether the table stays as it is.
    """

    padding = None
    """The row of padding is as any other."""

    def __init__(
        self,
        vocabulary_size: int = 9000,
        table_channels: int = 300,
        channels: int = 512,
        frozen_table: bool = True,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.vocabulary_size = vocabulary_size
        self.out_channels = self.sentence_channels = 2 * channels
        self.table = nn.Embedding(vocabulary_size, table_channels)
        self.table.weight.requires_grad_(not frozen_table)
        self.gru = nn.GRU(table_channels, channels, batch_first=True, bidirectional=True)

    def forward(self, ids: Tensor, mask: Tensor) -> Text:
        """ids (B, T), words first, then padding; mask (B, T), True = a word -> words (B, T, 2 D), sentences
        (B, 2 D)."""
        words, _ = self.gru(self.table(ids))
        lowest = torch.finfo(words.dtype).min
        return Text(words, mask, words.masked_fill(~mask[..., None], lowest).amax(1))
