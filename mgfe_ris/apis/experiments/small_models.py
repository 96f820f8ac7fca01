"""Every family of models in small: options that leave of a config what a check has seconds for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ..config import CONFIG_ROOT
from .ablation import find_rows
from .rivals import SUFFIX, find_systems

Options = dict[str, Any]
"""By dotted key, see :func:`mgfe_ris.apis.load_config`."""


def _channels(*widths: int) -> Options:
    return {'model.neck.channels': widths, 'model.decode_head.channels': widths}


_BERT: Options = {
    'model.text_encoder.config.hidden_size': 16,
    'model.text_encoder.config.intermediate_size': 16,
    'model.text_encoder.config.num_hidden_layers': 3,
    'model.text_encoder.config.num_attention_heads': 2,
    'model.text_encoder.trainable_layers': 2,
    'model.neck.text_channels': 16,
}
_CLIP_WORDS: Options = {
    'model.text_encoder.width': 16,
    'model.text_encoder.depth': 2,
    'model.text_encoder.head_channels': 8,
    'model.neck.text_channels': 16,
}
_SWIN: Options = {
    'model.encoder.embed_dims': 16,
    'model.encoder.depths': (2, 1, 2, 1),
    'model.encoder.num_heads': (1, 2, 2, 4),
    **_channels(16, 32, 64, 128),
}
_RESNET: Options = {'model.encoder.stem_channels': 8, 'model.encoder.base_channels': 4, **_channels(16, 32, 64, 128)}

SMALL_ENCODERS: dict[str, Options] = {
    'swin-tiny': {**_BERT, **_SWIN},
    'swin-small': {**_BERT, **_SWIN},
    'swin-large': {**_BERT, **_SWIN},
    'resnet-50': {**_BERT, **_RESNET},
    'resnet-101': {**_BERT, **_RESNET},
    'convnext-base': {
        **_BERT,
        'model.encoder.arch': dict(_delete_=True, depths=(1, 1, 2, 1), channels=(16, 32, 64, 128)),
        **_channels(16, 32, 64, 128),
    },
    'vit-base-dino': {
        **_BERT,
        'model.encoder.arch': dict(_delete_=True, embed_dims=32, num_layers=8, num_heads=2, feedforward_channels=64),
        **_channels(32, 32, 32, 32),
    },
    'swin-base_roberta': {**_BERT, **_SWIN},
    'swin-base_clip': {**_BERT, **_SWIN},
    'clip-rn50': {
        **_CLIP_WORDS,
        'model.encoder.depths': (1, 1, 2, 1),
        'model.encoder.base_channels': 4,
        **_channels(16, 32, 64, 128),
    },
    'clip-vit-b16': {
        **_CLIP_WORDS,
        'model.encoder.width': 32,
        'model.encoder.depth': 8,
        'model.encoder.grid': 3,
        'model.encoder.head_channels': 16,
        **_channels(32, 32, 32, 32),
    },
    'efficientnet-lite0_minilm': dict(_BERT),
    'efficientnet-lite2_minilm': dict(_BERT),
}
"""Of ``configs/mgfe_ris/mgfe-ris_<name>_refcoco.py``, by name."""

SMALL_SWIN: Options = {
    'model.encoder.embed_dims': 32,
    'model.encoder.depths': (2, 1, 1, 1),  # the first stage has shifted windows and padding
    'model.encoder.num_heads': (1, 2, 4, 8),
    **_channels(32, 64, 128, 256),
    'model.neck.text_channels': 32,
    'model.text_encoder.trainable_layers': 1,
    'model.text_encoder.config': dict(
        model_type='bert', hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    ),
}
"""Of a config with Swin-B and BERT; the windows of 12 stay."""

SMALLER_TINY: Options = {
    'model.encoder.stem_channels': 8,
    'model.encoder.base_channels': 8,
    **_channels(8, 16, 32, 64),
    'model.neck.text_channels': 32,
    'model.decode_head.hidden': 16,
    'model.text_encoder.config.hidden_size': 32,
    'model.text_encoder.config.intermediate_size': 32,
    'model.text_encoder.config.num_hidden_layers': 1,
}
"""Of ``lavt_tiny`` and ``mgfe-ris_tiny`` configs, which become 20 times smaller still."""


def small_families(projects: Path) -> dict[str, tuple[Path, Options]]:
    """Config and options of each: the published models with every encoder, and the systems of ``projects``, which
    have small configs of their own.

    Raises:
        ValueError: there is no such folder.
    """
    ours = {f'{model}_swin-base': SMALL_SWIN for model in ('lavt', 'mgfe-ris')}
    ours |= {f'mgfe-ris_{name}': options for name, options in SMALL_ENCODERS.items()}
    files = {path.stem: path for path in CONFIG_ROOT.glob('[!_]*/*_refcoco.py')}
    families = {name: (files[f'{name}_refcoco'], options) for name, options in ours.items()}
    return families | {path.stem.removesuffix(SUFFIX) + '_tiny': (path, {}) for path in find_systems(projects).values()}


def small_rows() -> dict[str, tuple[Path, Options]]:
    """Config and options of each row of the tables that compare modules and losses: tables 6, 7 and 8."""
    found = {}
    for table in ('table6', 'table7', 'table8'):
        for row, path in find_rows(table).items():
            maps = {'model.neck.attention.map_size': (16, 8, 4, 2)} if row.endswith('brinet') else {}  # of 64 px
            found[f'{table}_{row}'] = path, {**SMALL_SWIN, **maps}
    return found


@contextmanager
def importable(projects: Path) -> Iterator[None]:
    """What the configs of ``projects`` import is found."""
    folders = [str(path) for path in sorted(projects.iterdir()) if path.is_dir()]
    with patch.object(sys, 'path', [*folders, *sys.path]):
        yield
