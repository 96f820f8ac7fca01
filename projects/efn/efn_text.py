"""Words from a table, and a sentence that a recurrent network has read from both sides."""

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models.sentence import last_word
from mgfe_ris.structures import Text


@MODELS.register_module()
class EFNTextEncoder(BaseModule):
    """Words are rows of a table behind a linear layer; the sentence is the state of a gated recurrent unit (GRU) of two
    directions at the last word.

    There, the unit that reads backwards has read one word: only this step is computed.

    Args:
        vocabulary_size: rows of the table.
        channels: D, of words, and of the state of each direction.
    """

    padding = None
    """The row of padding is trained as any other."""

    def __init__(self, vocabulary_size: int = 12_112, channels: int = 512, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.vocabulary_size, self.out_channels, self.sentence_channels = vocabulary_size, channels, 2 * channels
        self.table = nn.Embedding(vocabulary_size, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU())
        self.forwards = nn.GRU(channels, channels, batch_first=True)
        self.backwards = nn.GRUCell(channels, channels)

    def forward(self, ids: Tensor, mask: Tensor) -> Text:
        """ids (B, T), words first, then padding; mask (B, T), True = a word -> words (B, T, D), zeros where there is
        none, and sentences (B, 2 D)."""
        words = self.mlp(self.table(ids)) * mask[..., None].to(self.table.weight.dtype)
        sentence = torch.cat([last_word(self.forwards(words)[0], mask), self.backwards(last_word(words, mask))], dim=1)
        return Text(words, mask, sentence)
