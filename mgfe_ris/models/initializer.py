"""The weights that an ``init_cfg`` of any part names, read without running what their file holds."""

from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from ..checkpoint_files import convert_checkpoint
from .renaming import state_dict_of


@WEIGHT_INITIALIZERS.register_module(name='Pretrained', force=True)
class SafePretrainedInit(PretrainedInit):
    """In the place of mmengine's, which unpickles whatever a file holds: ``dict(type='Pretrained', checkpoint=...)``.

    Our visual encoders compare names and shapes first, see ``load_pretrained``; other parts take what fits, as mmengine
    has it. ``prefix`` chooses the names that begin with it, and takes it off.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load into the module.

        Raises:
            FileNotFoundError, OSError, ValueError: see ``read_checkpoint``; a file that has no name in common.
        """
        state = convert_checkpoint(self.checkpoint, state_dict_of)
        if self.prefix is not None:
            prefix = self.prefix.rstrip('.') + '.'
            state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if not state.keys() & module.state_dict().keys():
            raise ValueError(f'{self.checkpoint} has no weight of a {type(module).__name__}')
        load_state_dict(module, state, strict=False, logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
