"""The words of a training, in its work dir."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..data_parts import parts_of
from ..datasets import ReferringDataset
from ..training_words import WORDS, words_of, write_words


class TrainingWordsHook(Hook):
    """Writes ``training_words.txt`` once a training is about to begin, where the model learns all of its words there.

    Where it does not, or where the data does not tell its sentences, a list that a former training left is removed:
    the weights that come now are not of it.

    Args:
        all_words: False: the model brings words from elsewhere.
    """

    def __init__(self, all_words: bool):
        self.all_words = all_words

    @master_only
    def before_train(self, runner: Runner) -> None:
        parts = parts_of(runner.train_loop.dataloader.dataset)
        if self.all_words and all(isinstance(part, ReferringDataset) for part in parts):
            write_words(_words_in(parts), runner.work_dir)
        elif getattr(runner, 'resumed', None) is None:
            Path(runner.work_dir, WORDS).unlink(missing_ok=True)


def _words_in(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        for sample in part.data_list:
            for sentence in sample['sentences']:
                yield from words_of(sentence)
