"""Words from a table, and a sentence that a recurrent network has read from both sides."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models.sentence import last_word
from mgfe_ris.structures import Text


@MODELS.register_module()
class EFNTextEncoder(BaseModule):
    """Words are rows of a table after a linear layer; the sentence is the state of a gated recurrent unit (GRU) of two
    directions at the last word.

    There, the unit that reads backwards has read one word: only this step is computed.

    Args:
        vocabulary_size: rows of the table.
        channels: D, of words, and of the state of each direction.
        max_tokens: words of a sentence at most: a graph that is exported has so many steps.
    """

    padding = None
    """The row of padding is trained as any other."""

    def __init__(
        self,
        vocabulary_size: int = 12_112,
        channels: int = 512,
        max_tokens: int = 20,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.vocabulary_size, self.max_tokens = vocabulary_size, max_tokens
        self.out_channels, self.sentence_channels = channels, 2 * channels
        self.table = nn.Embedding(vocabulary_size, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU())
        self.forwards, self.backwards = nn.GRUCell(channels, channels), nn.GRUCell(channels, channels)

    def forward(self, ids: Tensor, mask: Tensor) -> Text:
        """ids (B, T), words first, then padding; mask (B, T), True = a word -> words (B, T, D), zeros where there is
        none, and sentences (B, 2 D)."""
        words = self.mlp(self.table(ids)) * mask[..., None].to(self.table.weight.dtype)
        states = last_word(self._read(words), mask), self.backwards(last_word(words, mask))
        return Text(words, mask, torch.cat(states, dim=1))

    def _read(self, words: Tensor) -> Tensor:
        """(B, T, D) -> the states after each word, (B, T, D); more of them in a graph that is exported."""
        if torch.compiler.is_exporting():  # its loop must not depend on T
            words = F.pad(words, (0, 0, 0, self.max_tokens - words.shape[1]))
        states = []
        for word in words.unbind(1):
            states.append(self.forwards(word, states[-1] if states else None))
        return torch.stack(states, dim=1)
