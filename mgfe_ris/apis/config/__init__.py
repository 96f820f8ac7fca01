"""Configs: found by path or name, read, changed by options, and checked key by key where they come from strangers."""

from .load import (
    CONFIG,
    CONFIG_ROOT,
    WEIGHTS,
    config_in,
    find_config,
    input_pipeline,
    input_size,
    last_checkpoint_in,
    learns_all_words,
    load_config,
    names_pretrained,
    set_everywhere,
    weights_in,
    without_pretrained,
)

__all__ = [
    'CONFIG',
    'CONFIG_ROOT',
    'WEIGHTS',
    'config_in',
    'find_config',
    'input_pipeline',
    'input_size',
    'last_checkpoint_in',
    'learns_all_words',
    'load_config',
    'names_pretrained',
    'set_everywhere',
    'weights_in',
    'without_pretrained',
]
