"""A model as a folder: weights, config and tokenizer, with nothing of the machine that wrote it."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from ...checkpoint_files import write_checkpoint
from ...engine.weights import check_weights
from ...models.encoders import HFTextEncoder
from ...models.encoders.fast_tokenizer import save_tokenizer
from ...output_files import new_folder
from ...training_words import write_words
from ..config import CONFIG, WEIGHTS, set_everywhere, without_pretrained
from ..config.json_settings import HERE, OF_ANY_MODEL, READ, is_text_setting
from .model_card import model_card, origin
from .report import read_report

TOKENIZER, CARD = 'tokenizer', 'README.md'


def save_folder(model: Any, folder: str | Path, metrics: str | Path | Mapping[str, Any] | None = None) -> Path:
    """Write ``config.json``, ``model.safetensors``, ``tokenizer/`` and a model card, for ``load_model(folder)``.

    Args:
        model: from :func:`load_model`, that is with its config as ``model.cfg``.
        folder: a new or empty one; it appears when it is whole.
        metrics: for the card, ``metrics.json`` of ``tools/test.py --out`` or what is in it.

    Raises:
        FileExistsError: there is something in the folder.
        FileNotFoundError, ValueError: no such metrics, or of another form.
    """
    found = read_report(metrics)
    with new_folder(folder) as part:
        write_checkpoint(model.state_dict(), part / WEIGHTS)
        write_description(model, part, found)
    return Path(folder)


def save_converted(model: Any, state: dict, source: str | Path, folder: str | Path) -> Path:
    """Save a model with weights that official code trained: see :func:`save_folder`.

    Official files do not say with which tokenizer: it is taken to be the model's.

    Args:
        model: from :func:`build_model`.
        state: its weights, all but ``data_preprocessor.vocabulary``.
        source: the file that they are from, for errors.

    Raises:
        ValueError: see :func:`check_weights`.
    """
    state = {**state, 'data_preprocessor.vocabulary': model.data_preprocessor.vocabulary}
    model.load_state_dict(check_weights(model, state, source))
    return save_folder(model, folder)


def write_description(
    model: Any, folder: Path, metrics: Mapping[str, Any], int8: Mapping[str, Any] | None = None
) -> None:
    """Config, tokenizer, words and card of a model, beside what it computes.

    Args:
        model: with its config as ``model.cfg``.
        folder: that is there.
        metrics: of :func:`read_report`.
        int8: of a graph with integers, the fields of :class:`Int8`, which the config keeps under ``origin``.
    """
    tokenizer = model.data_preprocessor.tokenizer
    save_tokenizer(tokenizer.tokenizer, folder / TOKENIZER)
    if tokenizer.met is not None:
        write_words(tokenizer.met, folder)
    config = _portable_config(model)
    if int8:
        config['origin']['int8'] = dict(int8)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + '\n', encoding='utf-8')
    card = model_card(model, metrics, exported=not (folder / WEIGHTS).is_file(), int8=int8)
    (folder / CARD).write_text(card, encoding='utf-8')


def _portable_config(model: Any) -> dict:
    cfg = without_pretrained(copy.deepcopy(model.cfg))
    cfg.origin = origin(model.cfg)
    for key in ('work_dir', 'load_from', 'resume', 'launcher'):
        cfg.pop(key, None)
    if cfg.model.get('compile'):
        cfg.model.compile = True  # the options are of this machine's compiler
    if isinstance(getattr(model, 'text_encoder', None), HFTextEncoder):
        cfg.model.text_encoder.config = _architecture(model.text_encoder.model.config)
    tokenizer = cfg.model.data_preprocessor.get('tokenizer') or {}
    cfg.model.data_preprocessor.tokenizer = {**tokenizer, 'pretrained': f'{HERE}/{TOKENIZER}'}
    if model.data_preprocessor.tokenizer.clean:  # which its vocabulary's name no longer says
        cfg.model.data_preprocessor.tokenizer.clean = True
    if Path(cfg.get('data_root', '')).is_absolute():  # of this machine
        set_everywhere(cfg._cfg_dict, 'data_root', f'data/{Path(cfg.data_root).name}')
    return {key: value for key, value in cfg.to_dict().items() if key in READ}


def _architecture(config: Any) -> dict:
    """What differs from the defaults of transformers' class, without what every model there may have and ours does not
    read: names and versions of where it came from, labels, how to write texts."""
    beside = PretrainedConfig().to_dict().keys() | {'torch_dtype', *OF_ANY_MODEL}
    kept = {k: v for k, v in config.to_diff_dict().items() if not k.startswith('_')}
    kept = {k: v for k, v in kept.items() if k not in beside or is_text_setting(config.model_type, k, v)}
    # transformers 5 says of every model that it has none
    return {k: v for k, v in kept.items() if v is not None or k not in ('bos_token_id', 'eos_token_id')}
