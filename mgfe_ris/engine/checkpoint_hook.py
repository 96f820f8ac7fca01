"""When checkpoints are written, and when those of before go: after the new ones."""

import shutil
import time
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import mmengine.hooks
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from ..checkpoint_files import read_checkpoint
from ..output_files import whole_file
from .checkpoints import OUTDATED, STARTED, VALIDATED, name_last, remove_parts


class _LaterBackend(LocalBackend):
    """Removes nothing, but notes what is to be removed."""

    def __init__(self) -> None:
        self.outdated: dict[str, None] = {}

    def remove(self, filepath: str | Path) -> None:
        self.outdated[str(filepath)] = None

    rmtree = remove  # checkpoints of DeepSpeed are folders


@HOOKS.register_module()
class CheckpointHook(mmengine.hooks.CheckpointHook):
    """mmengine's, of which a training that is killed at any moment can be resumed, and ends as one that was not.

    mmengine deletes the checkpoint of before first, and then writes the new one. Here the old one goes last, and each
    checkpoint holds the names of those that it replaces, so that a resumed training can remove what was left. It holds
    which validation was the last, too: one that was interrupted is done again.

    After each validation the checkpoint of the same epoch, or step, is written again; mmengine does so only where the
    validation was the best.
    """

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self.file_backend = _LaterBackend()
        self.folder = Path(str(self.out_dir))
        if is_main_process():
            remove_parts(self.folder)
        if STARTED not in runner.message_hub.runtime_info:
            runner.message_hub.update_info(STARTED, time.time())
        if (resumed := getattr(runner, 'resumed', None)) is None:
            runner.message_hub.update_info(VALIDATED, 0)
        else:
            self._go_on_from(resumed, runner)

    def _go_on_from(self, resumed: Path, runner: Runner) -> None:
        """Finish what the training was at when it was killed: removing what is replaced, and validating."""
        info = runner.message_hub.runtime_info
        if resumed.parent == self.folder:
            for name in info.get(OUTDATED, ()):
                if name != resumed.name:
                    self.file_backend.remove(self.folder / name)
            self._remove_outdated()
            if self.by_epoch and resumed.name.startswith('iter_'):
                self.file_backend.remove(resumed)  # written where the training was interrupted; for the next one to go
        if resumed.name == self._name(runner):
            self.last_ckpt = str(self.folder / resumed.name)
        if VALIDATED in info and info[VALIDATED] < _position(runner) and _validates_here(runner):
            runner.logger.info('the validation after this checkpoint was interrupted, and is done again')
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        if not hasattr(self, 'folder'):  # no training
            return
        runner.message_hub.update_info(VALIDATED, _position(runner))
        self._has_saved = False
        super().after_val_epoch(runner, metrics)
        if not self._has_saved and self.last_ckpt and Path(self.last_ckpt).name == self._name(runner):
            self._save_checkpoint_with_step(runner, self._step(runner), dict(epoch=runner.epoch, iter=runner.iter))
        if self._has_saved:  # else what is outdated is all that there is to go on from
            self._remove_outdated()

    def _step(self, runner: Runner) -> int:
        return runner.epoch if self.by_epoch else runner.iter

    def _name(self, runner: Runner) -> str:
        """Of the checkpoint that holds what is trained so far."""
        return self.filename_tmpl.format(self._step(runner))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """In the place of mmengine's, which deletes first, and writes ``last_checkpoint`` piece by piece."""
        name = self.filename_tmpl.format(step)
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                self.file_backend.remove(self.folder / self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.file_backend.outdated.pop(str(self.folder / name), None)
        self.last_ckpt = str(self.folder / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.message_hub.update_info(OUTDATED, [Path(path).name for path in self.file_backend.outdated])
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._has_saved = True
        name_last(runner.work_dir, self.last_ckpt)
        self._remove_outdated()

    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        """mmengine's, which runs what the file holds: it may be one that a stranger's work dir came with."""
        if not is_main_process():
            return
        kept = {key: value for key, value in read_checkpoint(ckpt_path).items() if key in self.published_keys}
        written = BytesIO()
        torch.save(kept, written)
        path = Path(ckpt_path)
        path = path.with_name(f'{path.stem}-{sha256(written.getvalue()).hexdigest()[:8]}.pth')
        with whole_file(path) as part:
            part.write_bytes(written.getvalue())
        runner.logger.info(f'{", ".join(kept)} of {ckpt_path} are published as {path}')

    def _remove_outdated(self) -> None:
        best = [getattr(self, 'best_ckpt_path', None), *getattr(self, 'best_ckpt_path_dict', {}).values()]
        for path in map(Path, self.file_backend.outdated.keys() - {*map(str, best)} if is_main_process() else ()):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.file_backend.outdated.clear()


def _position(runner: Runner) -> int:
    """Epochs, or steps, whichever the loop counts by."""
    return runner.epoch if isinstance(runner.train_loop, EpochBasedTrainLoop) else runner.iter


def _validates_here(runner: Runner) -> bool:
    """Whether the loop validates after what is trained so far."""
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    loop._decide_current_val_interval()
    done = _position(runner)
    last = loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else loop.max_iters
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
