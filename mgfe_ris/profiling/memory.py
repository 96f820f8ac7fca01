"""The memory of a training step on a CUDA device, counted on tensors without contents: no such device is needed."""

import heapq
import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from torch import Tensor, nn
from torch._prims_common import suggest_memory_format
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..structures import SegDataSample
from .workload import DTYPES, text_of

GIB = 2**30


@dataclass(frozen=True)
class Kept:
    """A tensor that the forward pass keeps for the backward pass."""

    module: str
    """By whose forward, named as in ``named_modules``."""
    shape: tuple[int, ...]
    dtype: torch.dtype
    gib: float
    """Of its whole storage, of which it may be a view."""


@dataclass(frozen=True)
class Memory:
    """Of one training step, in GiB."""

    weights: float
    """With buffers."""
    gradients: float
    optimizer: float
    """AdamW's two moments of each trained weight."""
    activations: float
    """What autograd keeps between forward and backward, each storage once, without weights and buffers; under autocast
    the weights' copies of fewer bits are part of it."""
    peak: float
    """The most that was alive at once, from the begin of the forward pass to the end of the backward pass."""
    kept: tuple[Kept, ...]
    """The storages of ``activations``, the largest first."""
    scores: tuple[Kept, ...]
    """Scores of attention whose inputs the fused kernels of CUDA refuse, so that they are computed one by one."""


def trace_memory(
    model: Any, batch: int = 8, size: tuple[int, int] = (480, 480), words: int = 20, amp: str | None = None
) -> Memory:
    """Run forward, loss and backward of a training step on fake CUDA tensors, and count what is alive.

    The model is neither moved nor changed, and need not have numbers, see :mod:`mgfe_ris.models.shapes_only`. What is
    assumed, and what is left out:

    - ``scaled_dot_product_attention`` takes its memory-efficient kernel (out, and one number per row of the scores, are
      kept beside the inputs; flash attention keeps the same) wherever torch's conditions for it are met on a GPU of
      compute capability 8.0 or more: rows of q, k, v and mask without gaps, heads a multiple of 16 bytes wide. Else
      the scores are materialised, are counted, and named in ``scores``.
    - Convolutions are cuDNN's.
    - AdamW is fused: it needs nothing beside its two moments; gradients are None at the begin of a step.
    - Checkpoints are reentrant, as in mmseg and mmcv. What they compute once more is counted.
    - The peak is of bytes asked for. Not counted: what operators use inside of themselves, as workspaces of cuDNN and
      cuBLAS; what the allocator loses to rounding and fragments; the CUDA context, some 0.5 GiB; other processes.

    Args:
        model: a :class:`ReferringSegmentor`.
        batch: photos, with a sentence each.
        size: of a photo, (height, width) in pixels.
        words: tokens of a sentence.
        amp: ``bf16`` or ``fp16``: autocast; None: float32.

    Raises:
        ValueError: no such ``amp``; a batch, size or number of words below 1; more words than the text encoder takes;
            a torch that :func:`trace_step` refuses.
    """
    if amp not in DTYPES:
        raise ValueError(f"amp must be 'bf16' or 'fp16'; got {amp!r}")
    if min(batch, words, *size) < 1:
        raise ValueError(f'batch, words and size must be 1 or more; got {batch}, {words}, {size}')

    text_of(model, torch.zeros(1, words, dtype=torch.long, device=next(model.parameters()).device))

    def loss(make: Callable) -> Tensor:
        samples = [
            SegDataSample(gt_sem_seg=PixelData(data=make(torch.zeros, 1, *size, dtype=torch.long)))
            for _ in range(batch)
        ]
        inputs = dict(
            inputs=make(torch.zeros, batch, 3, *size),
            token_ids=make(torch.zeros, batch, words, dtype=torch.long),
            word_mask=make(torch.ones, batch, words, dtype=torch.bool),
        )
        return model.parse_losses(model(**inputs, data_samples=samples, mode='loss'))[0]

    return trace_step(model, loss, amp)


def can_trace() -> bool:
    """Without CUDA's driver torch 2.7 and 2.8 abort in an operator on fake CUDA tensors; 2.14 does not."""
    return torch.cuda.is_available() or torch.__version__ >= '2.9'


def trace_step(model: nn.Module, loss: Callable[[Callable], Tensor], amp: str | None = None) -> Memory:
    """:func:`trace_memory` of any model.

    Args:
        model: on any device; left as it is.
        loss: called with a function ``make(torch.zeros, *shape, dtype=...)``, with which it makes its inputs; runs the
            forward pass of ``model`` on them -> a scalar.
        amp: ``bf16`` or ``fp16``: autocast; None: float32.

    Raises:
        ValueError: this torch cannot, see :func:`can_trace`.
    """
    if not can_trace():
        raise ValueError(
            f'torch {torch.__version__} cannot trace the steps of a GPU where no driver is: it ends the process. Take '
            'a newer one, 2.14 for example, or a machine with a GPU'
        )
    from torch._subclasses.fake_tensor import FakeTensorMode  # here: it brings a compiler along

    device = torch.device('cuda', 0)

    def make(factory: Callable, *shape: int, **kwargs: Any) -> Tensor:
        return factory(*shape, device=device, **kwargs)

    live, keeps = _Live(), _Keeps(model)
    with ExitStack() as stack:
        stack.enter_context(_as_if_cuda(keeps.backward))
        stack.enter_context(FakeTensorMode())
        own = stack.enter_context(_fake_weights(model, device))
        trained = sum(p.nbytes for p in own if p.requires_grad)
        weights = sum(t.nbytes for t in own)
        keeps.leave_out(own)
        stack.enter_context(keeps)
        attention = stack.enter_context(_Attention(keeps))
        stack.enter_context(live)
        for tensor in own:
            live.hold(tensor)
        live.add(2 * trained)
        autocast = torch.autocast('cuda', DTYPES[amp]) if amp else nullcontext()
        with autocast:
            total = loss(make)
        keeps.counting = False
        keeps.backward([total])
    kept = sorted(keeps.found, key=lambda k: -k.gib)
    return Memory(
        weights=weights / GIB,
        gradients=trained / GIB,
        optimizer=2 * trained / GIB,
        activations=sum(k.gib for k in kept),
        peak=live.peak / GIB,
        kept=tuple(kept),
        scores=tuple(attention.scores),
    )


@contextmanager
def _as_if_cuda(backward: Callable) -> Iterator[None]:
    """Let autocast and checkpoints do on fake CUDA tensors what they do on real ones.

    Args:
        backward: for ``torch.autograd.backward``, whose engine asks for the device.
    """
    with (
        patch('torch.cuda.amp.common.amp_definitely_not_available', lambda: False),
        patch('torch.cuda.is_bf16_supported', lambda *args, **kwargs: True),
        patch('torch.utils.checkpoint.get_device_states', lambda *args: ([], [])),  # of random numbers
        patch('torch.autograd.backward', backward),
    ):
        yield


@contextmanager
def _fake_weights(model: nn.Module, device: torch.device) -> Iterator[list[Tensor]]:
    """Put a fake tensor in the place of each weight and buffer, in training mode; inside of a fake mode -> these."""
    modes = {module: module.training for module in model.modules()}
    places: list[tuple[dict[str, Any], str, Tensor | None]]
    places = [(of, name, t) for m in modes for of in (m._parameters, m._buffers) for name, t in of.items()]
    fakes: dict[Tensor, Tensor] = {}
    for _, _, t in places:
        if t is not None and t not in fakes:
            empty = torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=device)
            fakes[t] = nn.Parameter(empty, t.requires_grad) if isinstance(t, nn.Parameter) else empty
    try:
        for of, name, t in places:
            if t is not None:
                of[name] = fakes[t]
        model.train()
        yield list(fakes.values())
    finally:
        for of, name, t in places:
            of[name] = t
        for module, training in modes.items():
            module.training = training


class _Live(TorchDispatchMode):
    """Counts the bytes of the storages on the device that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = _laid_out_by_cudnn(func, args, func(*args, **(kwargs or {})))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.hold(leaf)
        return out

    def hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if tensor.device.type == 'cuda' and storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self.add(storage.nbytes())
            weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())

    def add(self, size: int) -> None:
        self.bytes += size
        self.peak = max(self.peak, self.bytes)

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.bytes -= size


def _laid_out_by_cudnn(func: Any, args: Sequence[Any], out: Any) -> Any:
    """Convolutions on a GPU answer channels-last where x or weights are; without one torch takes bf16 from cuDNN."""
    aten = torch.ops.aten
    place = {aten.convolution.default: 0, aten.convolution_backward.default: 1}.get(func)
    if place is None or not any(suggest_memory_format(t) == torch.channels_last for t in args[place : place + 2]):
        return out
    first, *others = out if isinstance(out, tuple) else (out,)
    if first is not None:
        first = first.contiguous(memory_format=torch.channels_last)
    return (first, *others) if isinstance(out, tuple) else first


class _Keeps:
    """Sees what autograd keeps; as a context. A kept tensor lies in a box, emptied when its operator is through."""

    def __init__(self, model: nn.Module):
        self.counting = True
        self.found: list[Kept] = []
        self._opened: list[list[Tensor]] = []
        self._names = {module: name or type(model).__name__ for name, module in model.named_modules()}
        self._inside: list[str] = []
        self._seen: set[int] = set()

    def leave_out(self, tensors: Sequence[Tensor]) -> None:
        self._seen |= {t.untyped_storage()._cdata for t in tensors}

    @property
    def module(self) -> str:
        return self._inside[-1] if self._inside else ''

    def __enter__(self) -> '_Keeps':
        self._stack = ExitStack()
        self._stack.enter_context(torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack))
        hooks = nn.modules.module
        for handle in (
            hooks.register_module_forward_pre_hook(self._go_in),
            hooks.register_module_forward_hook(self._go_out, always_call=True),
        ):
            self._stack.callback(handle.remove)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def _go_in(self, module: nn.Module, args: Any) -> None:
        self._inside.append(self._names.get(module) or f'{self.module}.{type(module).__name__}')

    def _go_out(self, module: nn.Module, args: Any, out: Any) -> None:
        self._inside.pop()

    def _pack(self, tensor: Tensor) -> list[Tensor]:
        storage = tensor.untyped_storage()
        if self.counting and tensor.device.type == 'cuda' and storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self.found.append(Kept(self.module, tuple(tensor.shape), tensor.dtype, storage.nbytes() / GIB))
            weakref.finalize(storage, self._seen.discard, storage._cdata)
        return [tensor.detach()]  # the tensor itself may be the result of the operator that keeps it: a circle

    def _unpack(self, box: list[Tensor]) -> Tensor:
        self._opened.append(box)
        return box[0]

    @torch.no_grad()
    def backward(self, tensors: Sequence[Tensor], grad_tensors: Sequence[Tensor | None] | None = None) -> None:
        """``torch.autograd.backward`` in its engine's order: what came last in the forward pass comes first."""
        pending: dict[Any, list[Tensor | None]] = {}
        for tensor, grad in zip(tensors, grad_tensors or [None] * len(tensors), strict=True):
            _hand_over(pending, tensor.grad_fn, tensor.output_nr, torch.ones_like(tensor) if grad is None else grad)
        waits_for = _count_edges(pending)
        ready = [(-node._sequence_nr(), i, node) for i, node in enumerate(pending) if not waits_for[node]]
        heapq.heapify(ready)
        count = len(ready)
        del tensor, grad
        while ready:
            _, _, node = heapq.heappop(ready)
            grads = pending.pop(node)
            if hasattr(node, 'variable'):
                _accumulate(node.variable, grads.pop())
                continue
            before = len(self._opened)
            out = (node.apply if isinstance(node, torch.autograd.function.BackwardCFunction) else node)(*grads)
            out = list(out) if isinstance(out, tuple) else [out]
            grads.clear()
            for box in self._opened[before:]:
                box.clear()
            del self._opened[before:]
            for (to, place), grad in zip(node.next_functions, out, strict=False):
                if to is not None:
                    _hand_over(pending, to, place, grad)
                    waits_for[to] -= 1
                    if not waits_for[to]:
                        heapq.heappush(ready, (-to._sequence_nr(), count := count + 1, to))
            del out, grad


class _Attention(TorchFunctionMode):
    """``scaled_dot_product_attention`` as a GPU runs it; of fake tensors, torch would always materialise the scores."""

    def __init__(self, keeps: _Keeps):
        super().__init__()
        self.scores: list[Kept] = []
        self._keeps = keeps

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        return func(*args, **kwargs)

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if torch.is_autocast_enabled('cuda'):
            dtype = torch.get_autocast_dtype('cuda')
            q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
            if attn_mask is not None and attn_mask.is_floating_point():
                attn_mask = attn_mask.to(dtype)
        shape = (*q.shape[:-1], k.shape[-2])
        if enable_gqa or not _suits_fused_kernel(q, k, v, attn_mask):
            if self._keeps.counting:
                scores = Kept(self._keeps.module, shape, q.dtype, math.prod(shape) * q.itemsize / GIB)
                self.scores.append(scores)
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if attn_mask is not None:
            if attn_mask.dtype == torch.bool:
                attn_mask = torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill(~attn_mask, -math.inf)
            # rows begin at multiples of 16 numbers
            columns = attn_mask.shape[-1]
            if columns % 16:
                attn_mask = F.pad(attn_mask, (0, -columns % 16))[..., :columns]
            attn_mask = attn_mask.expand(shape)
        trained = torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v))
        attend = torch.ops.aten._scaled_dot_product_efficient_attention
        return attend(q, k, v, attn_mask, trained, dropout_p, is_causal, scale=scale)[0]


def _suits_fused_kernel(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> bool:
    """torch's own conditions, see ``sdp_utils.cpp``, for tensors without contents."""
    rows = all(t.stride(-1) == 1 for t in (q, k, v)) or q.shape[-1] == 1
    if mask is not None:
        rows = rows and mask.stride(-1) == 1
    return q.ndim == 4 and rows and all(t.shape[-1] * t.itemsize % 16 == 0 for t in (q, v))


def _count_edges(roots: Iterable[Any]) -> dict[Any, int]:
    """Operators of the backward pass -> how many others each has to wait for."""
    counts = dict.fromkeys(roots, 0)
    to_do = list(counts)
    while to_do:
        for node, _ in to_do.pop().next_functions:
            if node is not None:
                if node not in counts:
                    counts[node] = 0
                    to_do.append(node)
                counts[node] += 1
    return counts


def _hand_over(pending: dict[Any, list[Tensor | None]], node: Any, place: int, grad: Tensor | None) -> None:
    """Add a gradient to those that ``node`` waits for; summed over what was broadcast, and cast, as the engine does."""
    grads = pending.setdefault(node, [None] * len(node._input_metadata))
    if grad is not None:
        meta, there = node._input_metadata[place], grads[place]
        grad = grad.sum_to_size(tuple(meta.shape)).to(meta.dtype)
        grads[place] = grad if there is None else there + grad


def _accumulate(variable: Tensor, grad: Tensor | None) -> None:
    if grad is None:
        return
    if variable.grad is not None:
        variable.grad.add_(grad)
    else:
        whole = grad.untyped_storage().nbytes() == grad.nbytes
        variable.grad = grad.detach() if whole else grad.clone()
