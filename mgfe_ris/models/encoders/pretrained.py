"""Pretrained weights of a visual encoder: any form that we know, and every name accounted for."""

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.model import BaseModule

from ...checkpoint_files import convert_checkpoint
from ..checkpoints import differences
from ..renaming import State


def load_pretrained(encoder: BaseModule, convert: Callable[[Mapping[str, Any]], State], may_lack: str) -> bool:
    """Load what ``init_cfg=dict(type='Pretrained', checkpoint=...)`` names, a file or a URL.

    mmengine's own way would run what a file holds, and pass over names that do not fit.

    Args:
        encoder: whose ``init_cfg`` it is.
        convert: what the file holds -> the encoder's names, see :mod:`mgfe_ris.models.checkpoints`.
        may_lack: pattern of the names that no file has: what the encoder adds to the published architecture.

    Returns:
        False where ``init_cfg`` names nothing to load.

    Raises:
        FileNotFoundError, OSError: no such file or URL.
        ValueError: names that nobody explains, weights that are missing or of another shape.
    """
    cfg = encoder.init_cfg
    if not isinstance(cfg, dict) or cfg.get('type') != 'Pretrained':
        return False
    source = cfg['checkpoint']
    state = convert_checkpoint(source, convert)
    # files older than torch 0.4 do not count the batches of a batch norm; nothing here reads the count
    wrong = differences(state, encoder.state_dict(), rf'{may_lack}|.*num_batches_tracked$')
    if wrong:
        raise ValueError(
            f'{source} does not fit {type(encoder).__name__}: {len(wrong)} differences: {"; ".join(wrong)}'
        )
    encoder.load_state_dict(state, strict=False)
    return True
