"""From files to a model."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from ..checkpoint_files import convert_checkpoint
from ..engine.checkpoints import best_in
from ..engine.weights import check_weights
from ..models.renaming import State, state_dict_of
from ..models.size_limit import building, limited_size
from ..training_words import read_words
from .config import find_config, load_config, weights_in
from .onnx_segmentor import ONNX, OnnxSegmentor

QUICKSTARTS = {
    Path('work_dirs/quickstart-photos'): 'bash tools/quickstart.sh --photos DIR',
    Path('work_dirs/quickstart'): 'bash tools/quickstart.sh',
}
"""Where ``tools/quickstart.sh`` leaves its models, and what trains them. Of those that are trained, the first one is
the default: who has a model that has seen photos means it."""


def load_model(
    config: str | Path,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    options: dict | None = None,
) -> nn.Module:
    """Build a model for inference.

    Args:
        config: a config file, the name of one of ours, or a folder that training or ``save_folder`` wrote.
        checkpoint: ``.pth`` or ``.safetensors``; default: the folder's (the best one that training left), or, for a
            config, the weights that the config names.
        device: default: cuda if there is one, else cpu.
        options: changes of the config by dotted key.

    Returns:
        the model in eval mode, its config as ``model.cfg``.

    Raises:
        FileNotFoundError: no such file, or no config or checkpoint in the folder.
        ValueError: a checkpoint of another shape, or CUDA asked for where there is none.
    """
    device = _check_device(device)
    if checkpoint is not None:
        _require_checkpoint(checkpoint)
    if checkpoint is None and Path(config).is_dir():
        checkpoint = weights_in(config)
    cfg = load_config(config, options)
    if checkpoint is None:
        model = build_model(cfg)
        model.init_weights()
    else:
        path = weights_in(checkpoint)
        state = read_weights(path)
        with limited_size(cfg.filename, state):
            model = build_model(cfg)
        model.load_state_dict(check_weights(model, state, path))
        if (words := read_words(Path(path).parent)) is not None:
            model.data_preprocessor.tokenizer.met = words
    return model.to(device).eval()


def load_trained(
    model: str | Path, checkpoint: str | Path | None = None, device: str | torch.device | None = None
) -> nn.Module:
    """A model that was trained, from the shortest name for it.

    Args:
        model: folder or config of :func:`load_model`; a checkpoint with its config beside it; or a folder that
            ``export_onnx`` wrote. A folder in ``work_dirs`` by its name alone, too.
        checkpoint, device: as of :func:`load_model`; a config without a checkpoint is looked for in ``work_dirs``,
            where ``tools/train.py`` puts it.

    Raises:
        FileNotFoundError, ValueError: see :func:`load_model`; a config of which nothing was trained.
        ImportError: a folder of ``export_onnx``, and no onnxruntime.
    """
    if Path(model, ONNX).is_file():
        if checkpoint is not None or _check_device(device or 'cpu').type != 'cpu':
            raise ValueError(f'{model}: an exported model brings its weights and runs on the cpu')
        return OnnxSegmentor(model)
    folder = Path(model) if Path(model) in QUICKSTARTS else Path('work_dirs', model)
    if (command := QUICKSTARTS.get(folder)) and not folder.exists() and not Path(model).exists():
        raise FileNotFoundError(f'{folder}: no such folder. {command} trains this model; or name another')
    if checkpoint is None and Path(model).suffix in ('.pth', '.safetensors'):
        return load_model(Path(model).parent, _require_checkpoint(model), device)
    if checkpoint is None and not Path(model).is_dir():
        named = Path('work_dirs', model)
        trained = named if named.is_dir() else Path('work_dirs', find_config(model).stem)
        if not trained.is_dir():
            raise ValueError(f'{model}: a config, of which nothing was trained in {trained}; name a checkpoint')
        return load_model(trained, None, device)
    return load_model(model, checkpoint, device)


def default_model() -> Path:
    """Of :data:`QUICKSTARTS`, which need not be there; one that has yet to save its weights is passed over."""
    *_, last = QUICKSTARTS
    return next((folder for folder in QUICKSTARTS if best_in(folder)), last)


def build_model(cfg: Config) -> BaseModel:
    """The model of a config, with weights yet to be loaded, and its config as ``model.cfg``.

    Raises:
        ValueError: no config of a model, or of parts that are not registered; see also
            :func:`mgfe_ris.models.size_limit.building`.
    """
    if 'model' not in cfg:
        raise ValueError(f'{cfg.filename}: no config of a model: it has no "model"')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    try:
        with building(cfg.filename):
            model = MODELS.build(cfg.model)
    except KeyError as error:  # of a registry: a type that nobody registered
        raise ValueError(f'{cfg.filename}: {error.args[0]}') from error
    model.cfg = cfg
    return model


def check_checkpoint(model: nn.Module, path: str | Path, whole: bool = True) -> State:
    """Read a checkpoint's weights and compare them with the model's, before anything long starts.

    Args:
        model: of the config.
        path: a local file, or a folder with weights.
        whole: every name must fit; False for a start from another model's weights, where common names must, and there
            must be some.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, one of another model (the first differences are listed), one that was trained
            with another tokenizer, or one that holds NaN or infinity.
    """
    path = weights_in(path)
    return check_weights(model, read_weights(path), path, whole)


def read_weights(path: str | Path) -> State:
    """The state dict in a checkpoint, ``.pth`` or ``.safetensors``; only tensors and plain records are unpickled.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not a checkpoint, or holds other objects.
    """
    return convert_checkpoint(path, state_dict_of)


def _check_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'device {device!r}: expected cpu, cuda, cuda:1, ...') from error
    if device.type not in ('cpu', 'cuda'):
        raise ValueError(f'device {device}: expected cpu, cuda, cuda:1, ...; nothing here was tried on others')
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device {device}: this machine or this build of torch has no CUDA; use cpu')
    return device


def _require_checkpoint(path: str | Path) -> str | Path:
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such checkpoint; only local files are read, so download it first')
    return path
