"""What a step is whose speed is measured: a model with one random batch, and its optimiser."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.structures import PixelData
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..polygons import filled
from ..structures import SegDataSample, Text, gives_scores, target_logit

DTYPES = {None: torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass(frozen=True)
class Setting:
    """How a step is run.

    Raises:
        ValueError: no such mode, device or type of numbers, or not here; a count below 1.
    """

    mode: str = 'test'
    """``train``: forward, loss, backward, optimiser, gradients back to zero; ``test``: forward and masks."""
    batch: int = 1
    """Photos."""
    sentences: int = 1
    """Per photo; in training 1."""
    size: tuple[int, int] = (480, 480)
    """Of a photo, (height, width) in pixels."""
    words: int | None = None
    """Tokens of a sentence; None: as many as the model's tokenizer pads it to."""
    device: str = 'cpu'
    amp: str | None = None
    """``bf16`` or ``fp16``: autocast; None: float32."""
    compile: bool = False
    """``torch.compile`` of the model's ``segment``; so, too, where the config says it."""
    one_by_one: bool = False
    """Each sentence by itself, with its photo; with one photo."""
    text: bool = True
    """False: word features come from a table, and the text encoder is left out."""

    def __post_init__(self) -> None:
        if self.mode not in ('train', 'test'):
            raise ValueError(f"mode must be 'train' or 'test'; got {self.mode!r}")
        if self.device not in ('cpu', 'cuda'):
            raise ValueError(f"device must be 'cpu' or 'cuda'; got {self.device!r}")
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise ValueError('device cuda: this machine or this build of torch has no CUDA; use cpu')
        if self.amp not in DTYPES:
            raise ValueError(f"amp must be 'bf16' or 'fp16'; got {self.amp!r}")
        if (self.mode, self.amp, self.device) == ('train', 'fp16', 'cpu'):
            raise ValueError('training in fp16 needs a loss scale, which mmengine has for cuda alone; use bf16')
        if self.mode == 'train' and self.sentences != 1:
            raise ValueError(f'training takes one sentence per photo, not {self.sentences}; raise batch instead')
        if self.one_by_one and (self.mode, self.batch) != ('test', 1):
            raise ValueError(f'sentences one by one are of one photo, in mode test; got {self.batch} in {self.mode}')
        for name, count in (('batch', self.batch), ('sentences', self.sentences), ('words', self.words)):
            if count is not None and count < 1:
                raise ValueError(f'{name} must be 1 or more; got {count}')
        if min(self.size) < 1:
            raise ValueError(f'size must be 1 x 1 or more; got {self.size}')


class Workload:
    """One model, one batch of random photos and words, and the step that is measured.

    Args:
        model: from ``build_model``, on the CPU; its ``cfg`` gives the name and, in training, the optimiser.
        setting: of the step.
        loader: of the model's own data, for finding out how long a loop waits for it; None: that is not measured.

    Raises:
        ValueError: more words than the text encoder takes; training without an optimiser in the config; no batch; a
            setting without text for a model that runs its text encoder in parts; one that compiles training for a
            model that does not train through ``segment``.
    """

    def __init__(self, model: Any, setting: Setting, loader: DataLoader | None = None):
        self.name = Path(model.cfg.filename).stem + (', one by one' if setting.one_by_one else '')
        self.model, self.setting, self.loader = model, setting, loader
        self.device = torch.device(setting.device)
        self.optim: OptimWrapper | None = None
        # what the config compiles, is hidden while a step is taken apart
        self._compiled: Callable | None = vars(model).pop('segment', None)
        if setting.mode == 'train' and 'optim_wrapper' not in model.cfg:
            raise ValueError(f'{self.name}: no "optim_wrapper" in the config, which training needs')
        if loader is not None and len(loader) == 0:
            raise ValueError(f'{self.name}: fewer samples than one batch; lower batch_size')
        self.batch = random_batch(model, setting)
        if hasattr(model, 'text_encoder'):
            text = text_of(model, self.batch['token_ids'][:1])  # or a line that says what is wrong
        if not setting.text:
            model.text_encoder = WordTable(model.data_preprocessor.tokenizer.tokenizer.vocab_size, text)
            self._require_whole_text_encoder()
        if setting.compile and setting.mode == 'train':
            self._require_segment()

    def _require_whole_text_encoder(self) -> None:
        try:
            self.eager_step()
        except AttributeError as error:
            raise ValueError(
                f'{self.name}: a {type(self.model).__name__} runs its text encoder in parts, which cannot be left out '
                f'({error}); measure it with its text encoder'
            ) from error

    def _require_segment(self) -> None:
        """That a training step calls what is compiled; a step is run no further than to there."""
        self.model.segment = _reached
        try:
            with torch.no_grad():
                self.model(**self.batch, mode='loss')
        except _Reached:
            return
        finally:
            del self.model.segment
        raise ValueError(
            f'{self.name}: training a {type(self.model).__name__} does not call its segment, which is what --compile '
            'compiles: measure it without --compile, or with --mode test'
        )

    def start(self) -> None:
        """Move everything to the device, and build the optimiser; what is compiled, is so by the first step."""
        self.model.to(self.device).train(self.setting.mode == 'train')
        self.batch = self.model.data_preprocessor.cast_data(self.batch)
        if self.setting.mode == 'train':
            amp = dict(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')
            cfg = {**self.model.cfg.optim_wrapper, **(amp if self.setting.amp == 'fp16' else {})}
            self.optim = build_optim_wrapper(self.model, cfg)

        if self.setting.compile and self._compiled is None:
            self.model.pad_to_one_length()
            self._compiled = torch.compile(self.model.segment)

    def step(self, batch: dict | None = None) -> Tensor:
        """A step of the setting, compiled where it says so; see :meth:`eager_step`."""
        if self._compiled is None:
            return self.eager_step(batch)
        self.model.segment = self._compiled  # hides the method of the class
        try:
            return self.eager_step(batch)
        finally:
            del self.model.segment

    def eager_step(self, batch: dict | None = None) -> Tensor:
        """Train on what the preprocessor returned, or on the random batch -> the loss; or segment it -> (B, H, W)."""
        batch = batch or self.batch
        if self.optim is None:
            with torch.no_grad(), self._autocast():
                logits = torch.cat([self.model(**one, mode='tensor') for one in self._calls(batch)])
                if not gives_scores(self.model):
                    polygons = logits.double().cpu().numpy()
                    return torch.from_numpy(np.stack([filled(of_one, self.setting.size) for of_one in polygons]))
                return target_logit(logits.transpose(0, 1)) > 0
        with self.optim.optim_context(self.model), self._autocast():
            loss, _ = self.model.parse_losses(self.model(**batch, mode='loss'))
        self.optim.update_params(loss)
        return loss

    def _calls(self, batch: dict) -> Iterator[dict]:
        """The batch, or each of its sentences."""
        if not self.setting.one_by_one:
            yield batch
            return
        for i in range(len(batch['token_ids'])):
            photo = slice(None) if len(batch['inputs']) == 1 else slice(i, i + 1)
            words = {name: batch[name][i : i + 1] for name in ('token_ids', 'word_mask')}
            yield {**batch, **words, 'inputs': batch['inputs'][photo]}

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, DTYPES[self.setting.amp]) if self.setting.amp else nullcontext()


class _Reached(Exception):
    """A step came to ``segment``."""


def _reached(*_: Tensor) -> Tensor:
    raise _Reached


class WordTable(nn.Module):
    """In the place of a text encoder: a random feature for each of ``count`` words, and one for all sentences.

    Args:
        count: ids.
        text: what the encoder made of some sentence, for the widths.
    """

    table: Tensor
    sentence: Tensor | None

    def __init__(self, count: int, text: Text):
        super().__init__()
        self.register_buffer('table', torch.randn(count, text.words.shape[-1]))
        self.register_buffer('sentence', None if text.sentence is None else torch.randn(text.sentence.shape[-1]))

    def forward(self, ids: Tensor, mask: Tensor) -> Text:
        """ids (B, T), mask (B, T) -> text of the encoder's widths."""
        sentence = None if self.sentence is None else self.sentence.expand(len(ids), -1)
        return Text(self.table[ids], mask, sentence)


def random_batch(model: Any, setting: Setting) -> dict[str, Any]:
    """What the preprocessor would return: photos, sentences without padding, and targets.

    The sentences about one photo follow one another, each with the photo; of a single photo it comes once.
    """
    n = setting.batch * setting.sentences
    tokenizer = model.data_preprocessor.tokenizer
    words = setting.words or tokenizer.max_tokens
    repeats = setting.sentences if setting.batch > 1 else 1
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 2, (1, *setting.size)))) for _ in range(n)]
    return dict(
        inputs=torch.randn(setting.batch, 3, *setting.size).repeat_interleave(repeats, 0),
        token_ids=torch.randint(0, tokenizer.tokenizer.vocab_size, (n, words)),
        word_mask=torch.ones(n, words, dtype=torch.bool),
        data_samples=samples,
    )


@torch.no_grad()
def text_of(model: Any, ids: Tensor) -> Text:
    """What the text encoder makes of ids (B, T), none of which is padding.

    Raises:
        ValueError: more words than it takes.
    """
    try:
        return model.text_encoder(ids, torch.ones_like(ids, dtype=torch.bool))
    except (IndexError, RuntimeError, ValueError) as error:
        raise ValueError(f'the text encoder cannot take sentences of {ids.shape[1]} words: {error}') from error
