"""Sentences as word features: tokenizer and text encoder of Hugging Face transformers."""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers  # not its parts by name: they take seconds, and come when they are first used
from huggingface_hub.errors import HFValidationError
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import Text
from ...training_words import words_of
from ...weight_packages import in_package
from ..checkpoints import from_text
from ..renaming import State, state_dict_of
from ..sentence import STATES, check_state
from .clip_vocabulary import CLIP_SUFFIX, read_clip_vocabulary
from .clip_vocabulary import clean as clean_sentence
from .fast_tokenizer import FIVE
from .pretrained import load_pretrained
from .word_list import LIST_SUFFIX, read_word_list
from .word_pieces import read_word_pieces

VOCABULARY = Path(__file__).with_name('vocabulary.txt')
"""A small WordPiece vocabulary of referring expressions; letters and digits cover every other Latin word."""


class HFTokenizer:
    """Sentences -> token ids, padded to ``max_tokens``.

    As in the official baseline, a longer sentence is cut after its first ``max_tokens`` tokens, the end mark
    included; the cut is logged once and counted in ``num_truncated``. So are sentences of which it knows no word, as
    those in a script that is not in the vocabulary: ``num_unknown``.

    Args:
        pretrained: hub name, local folder or ``package:<name>``, see :mod:`mgfe_ris.weight_packages`; or CLIP's own
            vocabulary, ``bpe_simple_vocab_16e6.txt.gz``, with which sentences are cleaned as its authors do; or a list
            of words, ``.txt``, see :func:`mgfe_ris.models.encoders.word_list.read_word_list`; None: the built-in
            vocabulary, which needs no network.
        max_tokens: T, with the start and end marks. 20 in every published model of LAVT's family.
        trim: pad only to the longest sentence of the batch: less to compute, but tensors of changing size.
        keep_end: cut a longer sentence so that it ends with the end mark, as CLIP's authors do: its place is where
            CLIP looks for the sentence.
        pad_id: of padding, 0 for models of CLIP's authors; None: the tokenizer's own.
        clean: sentences are cleaned as CLIP's authors do, by the package ftfy; always so with their vocabulary file.

    Attributes:
        met: all words that the model learned, see :mod:`mgfe_ris.training_words`; None: not known, or not only those of
            its training.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        max_tokens: int = 20,
        trim: bool = False,
        keep_end: bool = False,
        pad_id: int | None = None,
        clean: bool = False,
    ):
        self.max_tokens = max_tokens
        self.keep_end = keep_end
        self.trim = trim
        self.pretrained = pretrained
        self.num_truncated = 0
        self.num_unknown = 0
        self.met: frozenset[str] | None = None
        self.clean = clean
        if pretrained is None:
            self.tokenizer: Any = read_word_pieces(VOCABULARY)
        elif str(pretrained).endswith(CLIP_SUFFIX):
            self.tokenizer, self.clean = read_clip_vocabulary(pretrained), True
        elif str(pretrained).endswith(LIST_SUFFIX):
            self.tokenizer = read_word_list(pretrained)
        else:
            self.tokenizer = _from_hub(transformers.AutoTokenizer, pretrained, 'data_preprocessor.tokenizer.pretrained')
        self.tokenizer.encode('')  # turns off the cut that files may ask for: not in a thread, while another one reads
        self.pad_id = self.tokenizer.pad_token_id if pad_id is None else pad_id

    def __call__(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Sentences -> ids (B, T) int64, mask (B, T) bool, True = a word.

        Raises:
            ValueError: if a sentence is empty.
        """
        ids = torch.full((len(sentences), self.max_tokens), self.pad_id)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for i, sentence in enumerate(sentences):
            if not sentence.strip():
                raise ValueError(f'sentence {i} of the batch is empty: say which object is meant')
            tokens = self._encode(sentence)
            if not self._has_word(tokens):
                self._count_unknown(sentence)
            if len(tokens) > self.max_tokens:
                self._count_cut(sentence, len(tokens))
                end = tokens[-1:] if self.keep_end else []
                tokens = tokens[: self.max_tokens - len(end)] + end
            ids[i, : len(tokens)] = torch.tensor(tokens)
            mask[i, : len(tokens)] = True
        longest = int(mask.sum(1).max()) if self.trim else self.max_tokens
        return ids[:, :longest], mask[:, :longest]

    def knows(self, sentence: str) -> bool:
        """Whether one word of it is in the vocabulary, whole or in pieces; marks of punctuation are no words.

        A tokenizer of bytes, as RoBERTa's and CLIP's, knows all words.

        Raises:
            ValueError: nothing of the sentence is left as a token: it is of invisible characters.
        """
        tokens = self._encode(sentence)
        if len(tokens) <= self.tokenizer.num_special_tokens_to_add():
            raise ValueError(
                f'the sentence {sentence[:80]!r} has no character that the tokenizer keeps; say it in words'
            )
        return self._has_word(tokens)

    def unmet(self, sentence: str) -> tuple[str, ...] | None:
        """Its words that are not among those :attr:`met` in the training, each once; None: there is no list of them.

        Pieces of words, which :meth:`knows` counts, are a notion of their meaning only where a text encoder was
        pretrained. Such a model has no list.
        """
        if self.met is None:
            return None
        return tuple(dict.fromkeys(word for word in words_of(sentence) if word not in self.met))

    def _encode(self, sentence: str) -> list[int]:
        return self.tokenizer.encode(clean_sentence(sentence) if self.clean else sentence, verbose=False)

    def _has_word(self, tokens: Sequence[int]) -> bool:
        said = [token for token in tokens if token not in self._no_words]
        return any(map(_is_word, self.tokenizer.convert_ids_to_tokens(said)))

    @cached_property
    def _no_words(self) -> frozenset[int | None]:
        """The marks, and what stands for unknown words; a user's own special tokens may be words."""
        kinds = ('unk', 'pad', 'cls', 'sep', 'bos', 'eos', 'mask')
        return frozenset(getattr(self.tokenizer, f'{kind}_token_id') for kind in kinds)

    def fingerprint(self) -> int:
        """A checksum of the words and their ids."""
        return zlib.crc32(json.dumps(sorted(self.tokenizer.get_vocab().items())).encode())

    def _count_cut(self, sentence: str, tokens: int) -> None:
        if self.num_truncated == 0:
            MMLogger.get_current_instance().warning(
                f'a sentence of {tokens} tokens is cut to max_tokens={self.max_tokens}: {sentence[:80]!r}. '
                'Said once; further cuts are only counted (tokenizer.num_truncated)'
            )
        self.num_truncated += 1

    def _count_unknown(self, sentence: str) -> None:
        if self.num_unknown == 0:
            MMLogger.get_current_instance().warning(
                f'the tokenizer knows no word of a sentence, which so says nothing: {sentence[:80]!r}. '
                'Said once; further ones are only counted (tokenizer.num_unknown)'
            )
        self.num_unknown += 1


def _is_word(token: str) -> bool:
    """Of letters, digits or signs such as $, not of punctuation alone; without what marks a word's begin or end."""
    return any(unicodedata.category(letter)[0] in 'LMNS' for letter in token.lstrip('Ġ▁').removesuffix('</w>'))


@MODELS.register_module()
class HFTextEncoder(BaseModule):
    """A text encoder of transformers: token ids -> text, without a pooler.

    BERT, RoBERTa and CLIP's text tower; of a whole CLIP, the text tower is taken.

    Args:
        pretrained: hub name, local folder or ``package:<name>`` of the weights, loaded by ``init_weights``; None:
            random weights.
        config: the architecture, as ``AutoConfig.for_model`` takes it, e.g. ``dict(model_type='bert')`` for
            BERT-base; None: the one of ``pretrained``. Given, building the model needs no network.
        trainable_layers: train only the first n encoder layers and freeze embeddings and later layers (10 in
            the official baseline); None: train everything.
        sentence: the sentence's vector: ``'mean'`` of the words, marks of start and end included; ``'first'``, BERT's
            mark of the start; ``'end'``, the last word, which CLIP projects and this does not; None: it is not
            computed.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a single file of Hugging Face, in the place of
            ``pretrained``.

    Raises:
        ValueError: if neither ``pretrained`` nor ``config`` is given; for positions that transformers 5 has no
            longer; if ``trainable_layers`` is given and the model keeps its layers where neither BERT nor CLIP does;
            another ``sentence``; from ``init_weights``, if the files of ``pretrained`` are of another type or lack a
            weight of the model.
        OSError: if ``pretrained`` can be found neither locally nor on the hub.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        config: dict | None = None,
        trainable_layers: int | None = None,
        sentence: str | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.state = check_state(sentence)
        if config is not None:
            hf_config = _of_text(transformers.AutoConfig.for_model(**config))
        elif pretrained is not None:
            hf_config = _config_of(pretrained)
        else:
            raise ValueError('HFTextEncoder needs pretrained (hub name or folder) or config (model_type, ...)')
        positions = getattr(hf_config, 'position_embedding_type', 'absolute')
        if FIVE and positions != 'absolute':
            raise ValueError(f'text_encoder.config.position_embedding_type={positions!r} needs transformers below 5')
        self.pretrained = pretrained
        self.model: Any = _under_old_names(transformers.AutoModel.from_config(hf_config, **_without_pooler(hf_config)))
        if trainable_layers is not None:
            layers = _layers(self.model)
            self.model.requires_grad_(False)
            layers[:trainable_layers].requires_grad_(True)

    def init_weights(self) -> None:
        if load_pretrained(self, self._convert, may_lack='$') or self.pretrained is None:
            return
        ours, theirs = self.model.config, _config_of(self.pretrained)
        if theirs.model_type != ours.model_type:
            # BERT's weights have the names and shapes of RoBERTa's, whose positions count otherwise
            raise ValueError(f'{self.pretrained!r} is a {theirs.model_type}, but config says {ours.model_type}')
        # Our class and our architecture, not the ones of the files: those may hold a head or, in a CLIP, an image tower
        own = self.model.text_model if isinstance(self.model, CLIPText) else self.model
        source, info = _from_hub(
            type(own),
            self.pretrained,
            'text_encoder.pretrained',
            config=ours,
            output_loading_info=True,
            **_without_pooler(ours),
        )
        if missing := sorted(info['missing_keys']):
            raise ValueError(
                f'{self.pretrained!r} lacks {len(missing)} of the weights of a {ours.model_type} of this '
                f'architecture: {", ".join(missing)}. Pass the files of such a model, or the config that fits the files'
            )
        layers = [k for k in info['unexpected_keys'] if re.search(r'(?<!vision_model\.)encoder\.layers?\.\d', k)]
        if layers:
            raise ValueError(
                f'{self.pretrained!r} has layers that config does not: {", ".join(sorted(layers))}. Pass the config '
                'that fits the files'
            )
        own.load_state_dict(source.state_dict())

    def _convert(self, checkpoint: Mapping[str, Any]) -> State:
        ours = self.model.config.model_type
        if ours in ('bert', 'roberta'):
            # their names and shapes are the same, their positions count otherwise; a bare file does not say whose it is
            other = 'roberta' if ours == 'bert' else 'bert'
            if any(name.startswith(f'{other}.') for name in state_dict_of(checkpoint)):
                raise ValueError(f'it is a {other}, but config says {ours}')
        return from_text(checkpoint)

    @property
    def out_channels(self) -> int:
        """D, the width of a word."""
        return self.model.config.hidden_size

    @property
    def sentence_channels(self) -> int | None:
        """E, the width of the sentence's vector; None, where none is asked for."""
        return None if self.state is None else self.out_channels

    @property
    def vocabulary_size(self) -> int:
        """Ids that it has a row for."""
        return self.model.get_input_embeddings().num_embeddings

    @property
    def padding(self) -> int | None:
        """The id whose row is not trained, by which RoBERTa counts positions, too; None: CLIP has no such."""
        return self.model.get_input_embeddings().padding_idx

    @property
    def max_tokens(self) -> int | None:
        """Tokens that it has positions for; None: they are not limited, as where only distances count."""
        for name, table in self.model.named_modules():
            if isinstance(table, nn.Embedding) and name.endswith(('position_embedding', 'position_embeddings')):
                # RoBERTa's first position is after that of padding
                return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        return None

    def require_tokenizer(self, tokenizer: HFTokenizer) -> None:
        """Raises a ValueError for weights that were trained with another tokenizer, as far as files here tell.

        Only where the two are named apart; nothing is downloaded.
        """
        if self.pretrained is None or self.pretrained == tokenizer.pretrained:
            return
        own, given = _tokenizer_of(self.pretrained), tokenizer.tokenizer
        # all of CLIP's were trained with pairs of bytes; BERT and RoBERTa exist with tokenizers of any kind
        bytes_wanted = own is None and self.model.config.model_type == 'clip_text_model'
        pieces = getattr(given, 'backend_tokenizer', None)
        wrong = bytes_wanted and pieces is not None and type(pieces.model).__name__ != 'BPE'
        if wrong or (own is not None and own.get_vocab() != given.get_vocab()):
            raise ValueError(
                f'text_encoder.pretrained={self.pretrained!r} was trained with another tokenizer than '
                f'data_preprocessor.tokenizer.pretrained={tokenizer.pretrained!r} ({type(given).__name__}, '
                f'{len(given)} entries): its ids mean other words. Name the same source for both'
            )

    def forward(self, ids: Tensor, mask: Tensor) -> Text:
        """ids (B, T), mask (B, T) -> words (B, T, D), and the sentence (B, D), if it is asked for."""
        words = self.model(input_ids=ids, attention_mask=self._attention_mask(mask)).last_hidden_state
        return Text(words, mask, None if self.state is None else STATES[self.state](words, mask))

    def _attention_mask(self, mask: Tensor) -> Tensor:
        """mask (B, T) -> what the model takes without looking whether it is all ones, for which it waits for a GPU."""
        kind = self.model.config.model_type
        if kind not in ('bert', 'roberta', 'clip_text_model'):
            return mask.long()
        if not FIVE:  # CLIP does not look
            return mask.long() if kind == 'clip_text_model' else mask[:, None].expand(-1, mask.shape[1], -1).long()
        seen = mask[:, None, None].expand(-1, -1, mask.shape[1], -1)
        if kind == 'clip_text_model':
            seen = seen.tril()  # those before it
        # (B, 1, T, T), to be added to the scores: whatever is computed them by, and with the numbers of version 4
        kept = torch.zeros(seen.shape, dtype=next(self.model.parameters()).dtype, device=mask.device)
        return kept.masked_fill(~seen, torch.finfo(kept.dtype).min)


class CLIPText(nn.Module):
    """CLIP's text tower of transformers 5, whose parameters have the names that version 4 has given them."""

    def __init__(self, text_model: transformers.PreTrainedModel):
        super().__init__()
        self.text_model = text_model
        self.config = text_model.config
        self.get_input_embeddings = text_model.get_input_embeddings

    def forward(self, **inputs: Tensor) -> Any:
        return self.text_model(**inputs)


def _under_old_names(model: Any) -> nn.Module:
    """The same names in the same order in versions 4 and 5: those of checkpoints, and of the optimizers in them."""
    if not FIVE:
        return model
    kind = model.config.model_type
    if kind == 'clip_text_model':
        return CLIPText(model)
    if kind in ('roberta', 'camembert', 'xlm-roberta'):
        for name in ('token_type_embeddings', 'LayerNorm'):  # after position_embeddings, which version 5 has last
            model.embeddings.add_module(name, model.embeddings._modules.pop(name))
    return model


def _layers(model: Any) -> nn.ModuleList:
    modules = dict(model.named_modules())
    for path in ('encoder.layer', 'text_model.encoder.layers'):
        layers = modules.get(path)
        if isinstance(layers, nn.ModuleList):
            return layers
    raise ValueError(
        f'trainable_layers: a {model.config.model_type} keeps its layers neither in encoder.layer, as BERT, nor in '
        'text_model.encoder.layers, as CLIP; leave trainable_layers out to train everything'
    )


def _config_of(pretrained: str) -> transformers.PretrainedConfig:
    return _of_text(_from_hub(transformers.AutoConfig, pretrained, 'text_encoder.pretrained'))


def _tokenizer_of(pretrained: str) -> Any:
    """What lies beside the weights on this machine, or None."""
    try:
        found = transformers.AutoTokenizer.from_pretrained(
            in_package(pretrained), trust_remote_code=False, local_files_only=True
        )
        _check_words(found)
        return found
    except Exception:  # of a dozen kinds: there is none, or none that can be read, and nothing to compare
        return None


def _of_text(config: transformers.PretrainedConfig) -> transformers.PretrainedConfig:
    return config.text_config if config.model_type == 'clip' else config


def _without_pooler(config: transformers.PretrainedConfig) -> dict:
    # transformers builds BERT's and RoBERTa's pooler unless told not to; CLIP's text model knows no such switch
    return dict(add_pooling_layer=False) if config.model_type in ('bert', 'roberta') else {}


def _check_words(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    """Raises a ValueError for what transformers 5 makes where version 4 refuses: a tokenizer of the marks alone where
    there are no words, one without marks where no file says them, and another one than that whose class is code."""
    if len(tokenizer.get_vocab()) <= len(set(tokenizer.all_special_ids)):
        raise ValueError('it has no words but the marks')
    if not tokenizer.all_special_ids:
        raise ValueError('no file of it says which of its words are marks')
    if type(tokenizer).__name__ == 'TokenizersBackend' and 'auto_map' in tokenizer.init_kwargs:
        raise ValueError('its tokenizer is custom code, which is not run')


def _from_hub(auto_class: Any, name: str, option: str, **kwargs):
    name = str(in_package(name))
    try:
        found = auto_class.from_pretrained(name, trust_remote_code=False, **kwargs)  # else it asks, and runs files
        if auto_class is transformers.AutoTokenizer:
            _check_words(found)
        return found
    except Exception as error:
        if Path(name).is_dir():  # tokenizers raises bare Exceptions, transformers a page of text
            reason = str(error).splitlines()[0][:150]
            kind = OSError if isinstance(error, OSError) else ValueError
            raise kind(
                f'{auto_class.__name__}: {name} lacks a file, or one is broken ({reason}). Copy it again, or name '
                f'another folder (--cfg-options model.{option}=DIR)'
            ) from error
        if not isinstance(error, (OSError, HFValidationError)):
            raise
        raise OSError(
            f'{auto_class.__name__}: {name!r} is neither a local folder nor to be had from the hub. Download it '
            f'and pass the folder (--cfg-options model.{option}=DIR); train.py, test.py and ablate.py '
            'take --from-scratch, for random weights and the built-in vocabulary'
        ) from error
