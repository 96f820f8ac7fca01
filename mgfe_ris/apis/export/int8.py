"""A graph of ONNX with weights of 8 bits, whose linear layers compute with integers: down to a quarter of the file."""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ...output_files import new_folder
from ..onnx_segmentor import INPUTS, ONNX, OnnxSegmentor, require_onnx
from .folder import write_description
from .model_card import data_in_words
from .onnx import write_checked
from .samples import ConfigSamples

Inputs = dict[str, np.ndarray]
"""Of one run of a graph, by name."""

INTEGER = ('Gemm', 'MatMul')
"""What computes with integers, by weights; attention's products of what is computed stay float32, as all else does.
Convolutions with integers were 1.6 times slower on a CPU without VNNI than with floats, and cost 0.2 points of mIoU."""


@dataclass(frozen=True)
class Int8:
    """Where the ranges of integers are from, and how far masks are from those of float32."""

    calibrated_on: str
    """Data and split, in words."""
    sentences: int
    compared_on: str
    compared: int
    """Sentences."""
    differ: float
    """Share of the photos' pixels that are in one mask and not in the other."""
    iou: float
    """Of all masks together: pixels that are in both, over those that are in one of them."""


def export_int8(model: Any, folder: str | Path, samples: int = 128, tolerance: float = 1e-4) -> Int8:
    """What ``export_onnx`` writes, with integers of 8 bits in the graph, see :func:`quantize`.

    Their ranges are learned from the config's training data, prepared as for a test. Logits of integers differ by more
    than rounding does, so that no tolerance says much: what is compared is masks, on the validation data.

    Args:
        model: from :func:`load_model`; it stays as it is, wherever it is.
        folder: a new or empty one; it appears when it is whole.
        samples: sentences, at most: of the training data to calibrate on, and of the validation data to compare on.
        tolerance: of the graph of float32, which integers are made from, to PyTorch; see :func:`export_onnx`.

    Raises:
        FileExistsError: there is something in the folder.
        FileNotFoundError: the data is not there.
        ImportError: onnx, onnxscript or onnxruntime is missing.
        ValueError: as of :func:`export_onnx`; no samples, or no training or validation data in the config.
    """
    require_onnx()
    if samples < 1:
        raise ValueError(f'samples must be 1 or more; got {samples}')
    seen, unseen = (ConfigSamples(model.cfg, name, samples) for name in ('train', 'val'))
    with new_folder(folder) as part, torch.no_grad(), TemporaryDirectory() as place:
        write_checked(model, part, tolerance)
        exact = OnnxSegmentor(part)
        quantize(part / ONNX, Path(place, ONNX), (_inputs(exact, sample) for sample in seen))
        for path in part.glob(f'{ONNX}*'):  # large weights lie beside the graph
            path.unlink()
        shutil.move(Path(place, ONNX), part / ONNX)
        differ, iou = compare_masks(exact, OnnxSegmentor(part), unseen)
        found = Int8(
            *(data_in_words(seen.settings), len(seen)), *(data_in_words(unseen.settings), len(unseen)), differ, iou
        )
        write_description(model, part, {}, asdict(found))
        return found


def _inputs(model: OnnxSegmentor, sample: dict[str, Any]) -> Inputs:
    data = model.data_preprocessor(sample)
    return dict(zip(INPUTS, (data[name].numpy() for name in ('inputs', 'token_ids', 'word_mask')), strict=True))


def compare_masks(one: Any, other: Any, samples: Iterable[dict[str, Any]]) -> tuple[float, float]:
    """How the masks of two models differ: ``differ`` and ``iou`` of :class:`Int8`; empty masks overlap wholly."""
    pixels = both = either = 0
    for sample in samples:
        a, b = (model.test_step(sample)[0].pred_sem_seg.data > 0 for model in (one, other))
        pixels, both, either = pixels + a.numel(), both + int((a & b).sum()), either + int((a | b).sum())
    return (either - both) / pixels, both / either if either else 1.0


def quantize(source: Path, target: Path, batches: Iterable[Inputs]) -> None:
    """Write a graph with integers.

    Linear layers compute with them, by onnxruntime's static quantization: activations have 8 bits and a range for each
    tensor, from the smallest to the largest number of any batch; weights have 7 bits and a range for each output
    channel. 7, for processors without VNNI add products of 8 bits in 16, where they do not fit. Convolutions compute
    with floats that are made of weights of 8 bits once, when the file is opened, with a range for each output channel.
    A table of words has 8 bits and a range for each word. The last layer stays as it is: scores are made of its
    numbers, and the border of a mask lies between two of them.

    Args:
        source: a graph of float32.
        target: file to write.
        batches: inputs to learn the ranges from.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self._rest: Iterator[Inputs] = iter(batches)

        def get_next(self) -> Inputs | None:
            return next(self._rest, None)

    with TemporaryDirectory() as folder:
        prepared = Path(folder, 'prepared.onnx')
        # norms of batches become part of the convolutions before them; the exporter has written all shapes
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        last = last_layer(onnx.load(prepared).graph)
        quantize_static(
            prepared,
            target,
            Batches(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*INTEGER],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[last] if last else [],
            extra_options=dict(MatMulConstBOnly=True),
        )
    graph = onnx.load(target)
    shrink_tables(graph.graph)
    shrink_convolutions(graph.graph, last)
    onnx.save(graph, target)


def last_layer(graph: Any) -> str | None:
    """The name of the convolution or linear layer that makes the logits: what comes after it only resizes. None where
    following first inputs back from the logits meets no such layer, or one without a name."""
    made_by = {name: node for node in graph.node for name in node.output}
    node = made_by.get(graph.output[0].name)
    while node is not None and node.op_type not in ('Conv', *INTEGER):
        node = made_by.get(node.input[0])
    return None if node is None else node.name or None


def shrink_convolutions(graph: Any, last: str | None = None) -> None:
    """Weights of convolutions become integers with a factor for each output channel; of the node ``last`` they stay."""
    readers = _readers(graph)
    for weight in list(graph.initializer):
        convolutions = [node for node in readers[weight.name] if _is_weight(node, weight.name) and node.name != last]
        if convolutions and len(convolutions) == len(readers[weight.name]) and weight.data_type == FLOAT:
            integers, factors = _store_integers(graph, weight)
            _insert(graph, convolutions[0], _product(integers, factors, weight.name))


def shrink_tables(graph: Any, rows: int = 256) -> None:
    """Tables of ``rows`` rows or more, of which only rows are read, become integers with a factor for each row.

    onnxruntime's own quantization has one factor for a whole table, by which rare words lose most of their bits.
    """
    readers = _readers(graph)
    for table in [one for one in graph.initializer if len(one.dims) == 2 and one.dims[0] >= rows]:
        if table.data_type != FLOAT or not readers[table.name] or not all(map(_reads_rows, readers[table.name])):
            continue
        stored = _store_integers(graph, table)
        for node in readers[table.name]:
            _read_integers(graph, node, *stored)


FLOAT = 1
"""onnx.TensorProto.FLOAT, without onnx."""


def _readers(graph: Any) -> dict[str, list[Any]]:
    """Nodes by the name of what they read."""
    found = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            found[name].append(node)
    return found


def _is_weight(node: Any, name: str) -> bool:
    return node.op_type == 'Conv' and node.input[1] == name


def _reads_rows(node: Any) -> bool:
    return node.op_type == 'Gather' and not any(one.name == 'axis' and one.i for one in node.attribute)


def _store_integers(graph: Any, floats: Any) -> tuple[str, str]:
    """In the place of an initializer: integers, and a factor for each index of its first axis. Their names."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(floats)
    largest = np.abs(values).max(tuple(range(1, values.ndim)), keepdims=True)
    factors = np.maximum(largest / 127, np.finfo(np.float32).tiny)
    names = f'{floats.name}_integers', f'{floats.name}_factors'
    graph.initializer.remove(floats)
    graph.initializer.append(numpy_helper.from_array(np.rint(values / factors).astype(np.int8), names[0]))
    graph.initializer.append(numpy_helper.from_array(factors, names[1]))
    return names


def _read_integers(graph: Any, node: Any, integers: str, factors: str) -> None:
    """In the place of one node: integers and factors of the rows, multiplied."""
    from onnx import helper

    ids, out = node.input[1], node.output[0]
    rows, of_rows = f'{out}_integers', f'{out}_factors'
    read = [
        helper.make_node('Gather', [integers, ids], [rows]),
        helper.make_node('Gather', [factors, ids], [of_rows]),
    ]
    _insert(graph, node, [*read, *_product(rows, of_rows, out)])
    graph.node.remove(node)


def _product(integers: str, factors: str, out: str) -> list[Any]:
    """Nodes that make floats of integers."""
    from onnx import helper

    return [
        helper.make_node('Cast', [integers], [f'{out}_whole'], to=FLOAT),
        helper.make_node('Mul', [f'{out}_whole', factors], [out]),
    ]


def _insert(graph: Any, before: Any, nodes: list[Any]) -> None:
    place = list(graph.node).index(before)
    for i, new in enumerate(nodes):
        graph.node.insert(place + i, new)
