"""What the settings of a config in JSON may be, which comes from anybody: those that are known to be harmless."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import transformers

from ...models.encoders.text import HFTokenizer
from ...registry import SCOPE
from .option_keys import TOP, arguments, registered_part

HERE = '{{ fileDirname }}'
"""Stands for the config's own folder, in JSON as in mmengine's Python configs."""
_SCHEDULE = 'param_name begin end last_step by_epoch verbose'
_NORM = 'requires_grad eps momentum affine'
STOCK = {
    'Adam': 'lr betas eps weight_decay amsgrad fused foreach',
    'AdamW': 'lr betas eps weight_decay amsgrad fused foreach',
    'BN': _NORM,
    'CheckpointHook': 'interval by_epoch save_optimizer save_param_scheduler max_keep_ckpts save_last save_best rule '
    'greater_keys less_keys save_begin',
    'Constant': 'val bias layer override',
    'CosineAnnealingLR': f'T_max eta_min eta_min_ratio {_SCHEDULE}',
    'DefaultSampler': 'shuffle seed round_up',
    'DistSamplerSeedHook': '',
    'EpochBasedTrainLoop': 'max_epochs val_begin val_interval by_epoch',
    'GN': f'num_groups {_NORM}',
    'IterBasedTrainLoop': 'max_iters val_begin val_interval by_epoch',
    'IterTimerHook': '',
    'Kaiming': 'a mode nonlinearity bias distribution layer override',
    'LN': _NORM,
    'LinearLR': f'start_factor end_factor {_SCHEDULE}',
    'LocalVisBackend': '',
    'LoggerHook': 'interval ignore_last interval_exp_name log_metric_by_epoch',
    'MultiStepLR': f'milestones gamma {_SCHEDULE}',
    'OptimWrapper': 'optimizer accumulative_counts clip_grad paramwise_cfg',
    'PackSegInputs': 'meta_keys',
    'ParamSchedulerHook': '',
    'Resize': 'scale scale_factor keep_ratio backend interpolation',
    'SGD': 'lr momentum dampening weight_decay nesterov fused foreach',
    'SyncBN': _NORM,
    'TensorboardVisBackend': '',
    'ValLoop': 'fp16',
    'Visualizer': 'name vis_backends',
    'mmcv.transforms.Resize': 'scale scale_factor keep_ratio backend interpolation',  # mmseg has one of that name, too
}
"""Parts of mmengine, mmcv and mmseg that our configs use, and those of their arguments that name nothing to be run,
unpickled, fetched or written."""
_OPEN = {
    'ConvNeXtEncoder': 'arch drop_path_rate frozen_stages layer_scale_init_value norm_cfg act_cfg use_grn '
    'linear_pw_conv stem_patch_size with_cp init_cfg',
    'ViTEncoder': 'arch img_size patch_size in_channels drop_rate drop_path_rate qkv_bias norm_cfg with_cls_token '
    'frozen_stages interpolate_mode layer_scale_init_value pre_norm init_cfg',
}
"""Parts of ours that hand their arguments on to mmpretrain's."""
_LOADER = (
    'batch_size num_workers persistent_workers pin_memory prefetch_factor drop_last timeout sampler batch_sampler '
)
_LOADER += 'dataset'
_SETTINGS = {
    '': 'auto_scale_lr compile custom_hooks custom_imports data_root default_hooks default_scope env_cfg '
    'find_unused_parameters launcher load_from log_level log_processor model optim_wrapper origin param_scheduler '
    'published randomness resume sync_bn test_cfg test_dataloader test_evaluator train_cfg train_dataloader val_cfg '
    'val_dataloader val_evaluator visualizer work_dir',
    'auto_scale_lr': 'base_batch_size enable',
    'clip_grad': 'max_norm norm_type error_if_nonfinite',
    'custom_imports': 'imports allow_failed_imports',
    'dist_cfg': 'backend',
    'env_cfg': 'cudnn_benchmark dist_cfg mp_cfg tf32',
    'log_processor': 'by_epoch window_size num_digits',
    'mp_cfg': 'mp_start_method opencv_num_threads',
    'optim_wrapper': STOCK['OptimWrapper'],
    'override': 'type name layer val a bias mode nonlinearity distribution',
    'randomness': 'seed deterministic diff_rank_seed',
    'tf32': 'matmul conv',
    'tokenizer': ' '.join(arguments(HFTokenizer)[0]),
    **{f'{name}_cfg': 'by_epoch max_epochs max_iters val_begin val_interval' for name in ('train', 'val', 'test')},
    **{f'{name}_dataloader': _LOADER for name in ('train', 'val', 'test')},
}
"""What stands in the dicts that are no parts, by the key that such a dict stands under."""
READ = {*_SETTINGS[''].split(), *TOP, 'runner_type', 'strategy', 'tta_model', 'tta_pipeline'}
"""What mmengine's runner and our tools read of a config; the rest are variables."""
_DESCRIPTIONS = ('origin', 'published')
_DATA = ('ann_file', 'ann_folder', 'data_root', 'img_folder')
"""Where annotations and photos are read; they may lie outside of the config's folder."""
_WRITES = (
    *('collect_dir', 'config_save_file', 'filename_tmpl', 'folder', 'img_save_dir', 'json_log_path', 'log_dir'),
    *('out_dir', 'per_sample', 'save_dir', 'scalar_save_file', 'tmpdir', 'work_dir'),
)


def _is_elsewhere(value: Any) -> bool:
    """Whether it is read from another place than the config's own folder: another file, or a hub."""
    return not isinstance(value, str) or not value.startswith(f'{HERE}/') or '..' in value.split('/')


def _is_some(value: Any) -> bool:
    return value is not None


def _is_no_bool(value: Any) -> bool:
    return not isinstance(value, bool)


_MOST = (('batch_size', 4096), ('pool_size', 256), ('scale', 4096), ('prefetch_factor', 64))


def _above(most: int) -> Callable[[Any], bool]:
    """Whether a number, or one of a list, is larger; what is no number is, too."""

    def is_above(value: Any) -> bool:
        values = value if isinstance(value, list) else [value]
        return not all(one is None or (isinstance(one, (int, float)) and abs(one) <= most) for one in values)

    return is_above


_REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **{key: (_is_some, 'says where to write, by {}') for key in _WRITES},
    **{
        key: (lambda value: value is not None and _is_elsewhere(value), 'reads files of another place, by {}')
        for key in ('load_from', 'pretrained')
    },
    **{
        key: (_is_some, 'reads through a program of its own choice, by {}')
        for key in ('backend_args', 'file_client_args')
    },
    # the options of torch.compile name compilers
    'compile': (_is_no_bool, 'gives options to a compiler, by {}'),
    # another scope is a package that mmengine imports
    'default_scope': (lambda value: value not in ('mmengine', 'mmseg', SCOPE), 'asks for other code, by {}'),
    # of what is made of each photo, and of how many at a time
    **{key: (_above(most), 'asks for very much memory, by {}') for key, most in _MOST},
    'launcher': (lambda value: value != 'none', 'starts processes, by {}'),
    'num_workers': (lambda value: not isinstance(value, int) or value > 64, 'starts processes, by {}'),
    'metainfo': (lambda value: not isinstance(value, dict | None), 'reads files of another place, by {}'),
}
"""Settings of which some values are refused, wherever they stand; and why."""


def refused_settings(node: dict, name: str = '') -> Iterator[str]:
    """Of a dict that stands under ``name``, and of all below it: what is not known to be harmless."""
    admitted = _admitted(node, name)
    for key, value in node.items():
        wrong, why = _REFUSED.get(key, (None, ''))
        if wrong is not None and wrong(value):
            yield why.format(key)
        elif wrong is None and admitted is not None and key not in admitted:
            yield f'has {key} in {node.get("type") or name or "it"}, which is not known to be harmless'
        elif node.get('type') == 'HFTextEncoder' and key == 'config':
            yield from _refused_of_text(value)
        elif key not in _DESCRIPTIONS and (wrong is None or isinstance(value, dict)):
            yield from _refused_values(value, key)


def _admitted(node: dict, name: str) -> set[str] | None:
    """The keys that a dict may have; None: any, since only code reads it that is ours or the user's."""
    kind = node.get('type')
    if name in _SETTINGS and (kind is None or name == 'override'):
        return set(_SETTINGS[name].split())
    beside = {'type', '_scope_', 'priority', 'convert_to_iter_based'}
    if kind in STOCK or kind in _OPEN:
        return beside | set((STOCK.get(kind) or _OPEN.get(kind, '')).split())
    if kind is None:
        return None
    part = registered_part(kind)
    names, more = arguments(part)
    if more and not (inspect.isclass(part) and part.__init__ is object.__init__):
        return None  # the user's own, which hands them on; ours are above
    return beside | names


def _refused_values(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from refused_settings(value, key)
    elif isinstance(value, list):
        for one in value:
            yield from _refused_values(one, key)
    elif isinstance(value, str):
        path = value.replace('\\', '/')
        climbs = path.startswith(('/', '~')) or '..' in path.split('/') or HERE in path or path[1:2] == ':'
        if '://' in value or (climbs and key not in _DATA):
            yield f'names another place, by {key}'
    elif isinstance(value, (int, float)) and not abs(value) < 2**40:  # a NaN, too
        yield f'has {key} {value!s:.20}, which is no size'


# The text encoder of Hugging Face


_TEXT_MODELS = (
    *('albert', 'bert', 'camembert', 'clip_text_model', 'deberta', 'deberta-v2', 'distilbert', 'electra', 'ernie'),
    *('mpnet', 'roberta', 'siglip_text_model', 'xlm-roberta'),
)
_TEXT_NAMES = {
    'model_type': _TEXT_MODELS,
    # others are kernels of a hub
    **dict.fromkeys(('attn_implementation', '_attn_implementation'), ('eager', 'sdpa')),
    **dict.fromkeys(
        ('activation', 'hidden_act'),
        ('gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh', 'quick_gelu', 'relu', 'silu', 'tanh'),
    ),
    'position_embedding_type': ('absolute', 'relative_key', 'relative_key_query'),
}
_TEXT_SWITCHES = ('gradient_checkpointing', 'output_past', 'tie_word_embeddings', 'use_cache')
OF_ANY_MODEL = (
    *('add_cross_attention', 'architectures', 'chunk_size_feed_forward', 'dtype', 'id2label', 'is_decoder'),
    *('is_encoder_decoder', 'label2id', 'output_hidden_states', 'problem_type', 'return_dict', 'transformers_version'),
)
"""What transformers 5 lists for every model, and version 4 does not: no encoder of words is made by it."""


def is_text_setting(model_type: Any, key: str, value: Any) -> bool:
    """Whether a setting of transformers shapes a text encoder, and does nothing else: a number or a switch that its
    class of configs names, or one of the words of :data:`_TEXT_NAMES`."""
    if key in _TEXT_NAMES:
        return isinstance(value, str) and value in _TEXT_NAMES[key]
    if model_type not in _TEXT_MODELS or not (value is None or isinstance(value, (bool, int, float))):
        return False
    known = inspect.signature(transformers.CONFIG_MAPPING[model_type].__init__).parameters
    return (key in known and key not in ('self', 'kwargs', *OF_ANY_MODEL)) or key in _TEXT_SWITCHES


def _refused_of_text(config: Any) -> Iterator[str]:
    if config is None:
        return
    if not isinstance(config, Mapping):
        yield 'has a config of a text encoder that is no dict'
        return
    for key, value in config.items():
        if not is_text_setting(config.get('model_type'), key, value):
            yield f'has {key}={value!s:.40} for the text encoder, which is not known to be harmless'
        elif not isinstance(value, str):
            yield from _refused_values(value, key)
