"""Where the time of a step goes: the parts of a model, and of its training."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from .machine import Clock

Fuse = Callable[[int, Tensor], tuple[Tensor, Tensor]]
"""What the neck does at a slot of the encoder."""
REST = 'the rest'
STAGES = 4
ORDER = ('text', 'stage', 'fusion', 'part', 'decode head', 'loss', 'backward', 'optimiser', REST)
"""In which parts are shown; of several stages, or parts of the fusion, the first to be reached is the first."""


class Stopwatch:
    """Splits time among named parts. A part inside of another one counts for itself alone, so that all add up.

    Args:
        now: a clock.
    """

    def __init__(self, now: Clock):
        self._now = now
        self.start()

    def start(self) -> None:
        """Begin at 0."""
        self._seconds: dict[str, float] = defaultdict(float)
        self._open = [REST]
        self._last = self._now()

    def enter(self, part: str) -> None:
        self._mark()
        self._open.append(part)

    def leave(self) -> None:
        self._mark()
        self._open.pop()

    def stop(self) -> dict[str, float]:
        """Seconds by part since the start, in the order in which they were reached."""
        self._mark()
        return dict(self._seconds)

    def _mark(self) -> None:
        now = self._now()
        self._seconds[self._open[-1]] += now - self._last
        self._last = now


@contextmanager
def watched(model: Any, optim: OptimWrapper | None, watch: Stopwatch) -> Iterator[None]:
    """While open, the parts of a step report to ``watch``.

    A stage of the encoder is what it does between two slots: stage 2 begins with the norm and the down-sampling after
    the first slot. ``fusion`` is what the neck does at a slot, by the names of its parts (``attention``, ``refine``,
    ``weigh``), and ``other``. Of a model of another shape, the parts are its modules, by their names.

    Args:
        model: a :class:`ReferringModel`.
        optim: its optimiser, in training.
        watch: that adds up.
    """
    with ExitStack() as stack:
        neck: Any = getattr(model, 'neck', None)
        staged = hasattr(neck, 'bind')
        for module, part in _stages(model) if staged else _modules(model):
            _watch_module(stack, module, part, watch)
        if staged:
            _replace(stack, neck, 'bind', _watched_bind(neck.bind, watch))
        if optim is not None:
            for method, part in (('backward', 'backward'), ('step', 'optimiser'), ('zero_grad', 'optimiser')):
                _replace(stack, optim, method, _watched_call(getattr(optim, method), part, watch))
        yield


def place_of(part: str) -> int:
    """In :data:`ORDER`."""
    return next(i for i, name in enumerate(ORDER) if part.startswith(name))


def _stages(model: Any) -> Iterator[tuple[nn.Module, str]]:
    """The parts of a :class:`ReferringSegmentor`."""
    yield from [(model.text_encoder, 'text'), (model.encoder, 'stage 1'), (model.decode_head, 'decode head')]
    yield model.loss_function, 'loss'
    yield from _children(model.neck, 'fusion')


def _modules(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """The parts of a model of any shape."""
    known = {'text_encoder': 'text', 'loss_function': 'loss'}
    for child, part in _children(model, 'part'):
        name = part.removeprefix('part: ')
        if name != 'data_preprocessor':
            yield child, known.get(name, part)


def _children(module: nn.Module, kind: str) -> Iterator[tuple[nn.Module, str]]:
    """Its modules; each of those in a list where it holds lists."""
    for name, child in module.named_children():
        for one in child if isinstance(child, nn.ModuleList) else [child]:
            yield one, f'{kind}: {name}'


def _watch_module(stack: ExitStack, module: nn.Module, part: str, watch: Stopwatch) -> None:
    for hook in (
        module.register_forward_pre_hook(lambda *_: watch.enter(part)),
        module.register_forward_hook(lambda *_: watch.leave()),
    ):
        stack.callback(hook.remove)


def _replace(stack: ExitStack, owner: Any, method: str, function: Callable) -> None:
    """Until the stack closes, ``owner.method`` is ``function``."""
    setattr(owner, method, function)
    stack.callback(delattr, owner, method)


def _watched_call(function: Callable, part: str, watch: Stopwatch) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        watch.enter(part)
        out = function(*args, **kwargs)
        watch.leave()
        return out

    return call


def _watched_bind(bind: Callable[..., Fuse], watch: Stopwatch) -> Callable[..., Fuse]:
    def watched_bind(*args: Any, **kwargs: Any) -> Fuse:
        watched_fuse = _watched_call(bind(*args, **kwargs), 'fusion: other', watch)

        def at_slot(stage: int, v: Tensor) -> tuple[Tensor, Tensor]:
            watch.leave()  # the encoder's stage
            out = watched_fuse(stage, v)
            watch.enter(f'stage {min(stage + 2, STAGES)}')
            return out

        return at_slot

    return watched_bind
