"""The layers of a model's graph, read from its ONNX bytes: what a backbone of our own needs to know.

Convolutions with ReLU between them, then the normalisation, in the names that dcfnet-export gives them: conv0, relu0,
conv1, ..., norm.*. Nothing else is taken, and what else is there is told by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import ModelError
from dcfnet.model import Model
from dcfnet.protobuf import integers, messages, texts

Weights = NDArray[np.float32]
FLOAT = 1  # TensorProto.DataType


@dataclass(frozen=True)
class Convolution:
    """weight: (O, I, K, K), bias: (O,), both float32. rectified: a ReLU follows. Lengths are pixels of its input."""

    weight: Weights
    bias: Weights
    stride: int
    padding: int
    dilation: int
    rectified: bool

    def made_side(self, side: int) -> int:
        """Side of the maps that it makes of maps of this side."""
        reach = self.dilation * (self.weight.shape[-1] - 1) + 1
        return int(side + 2 * self.padding - reach) // self.stride + 1


@dataclass(frozen=True)
class Normalisation:
    """x / (offset + band . x^2)^(3/4) over channels. band: (C, C), offset: (C,), both float32."""

    band: Weights
    offset: Weights

    def reach(self) -> int:
        """Channels to each side of which a channel's divisor is made."""
        rows, columns = np.nonzero(self.band)
        return int(np.abs(rows - columns).max(initial=0))


def refusal(model: Model) -> str | None:
    """Why the layers of a model are not read, judged by what its metadata say, or None."""
    if model.engine is not None:
        return "it is a TensorRT engine"
    if model.precision != "fp32":
        return f"its precision is {model.precision}, only fp32 is read"
    return f"it has {', '.join(model.folded)} folded in" if model.folded else None


def read_layers(model: Model) -> tuple[tuple[Convolution, ...], Normalisation]:
    """The convolutions, first to last, and the normalisation. Raises ModelError naming what is not read."""
    told = refusal(model)
    if told:
        remedy = "export it as plain fp32, or give engine='onnxruntime'"
        raise ModelError(f"{model.name}: no file for the native backbone: {told}; {remedy}")
    try:
        graph = messages(model.onnx, 7)[0]
        nodes = [_Node.read(node) for node in messages(graph, 1)]
        held = dict(_tensor(tensor) for tensor in messages(graph, 5))
        count = len([node for node in nodes if node.operator == "Conv"]) - 1
        _check_chain(nodes, count)
        convolutions = tuple(nodes[2 * index].convolution(held, index < count - 1) for index in range(count))
        return convolutions, Normalisation(held["norm.band"][:, :, 0, 0], held["norm.offset"])
    except (IndexError, KeyError, ValueError) as error:
        raise ModelError(f"{model.name}: no graph for the native backbone: {error}; export it anew") from error


@dataclass(frozen=True)
class _Node:
    """A node. numbers: its attributes that are whole numbers, lists of them alike; others: names of the rest."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[str, list[int]]
    others: dict[str, str]

    @classmethod
    def read(cls, node: bytes) -> _Node:
        """From NodeProto: input 1, output 2, op_type 4, attribute 5; AttributeProto: name 1, i 3, s 4, ints 8."""
        attributes = {texts(attribute, 1)[0]: attribute for attribute in messages(node, 5)}
        numbers = {name: integers(attribute, 3) + integers(attribute, 8) for name, attribute in attributes.items()}
        others = {name: "".join(texts(attribute, 4)) for name, attribute in attributes.items()}
        return cls(texts(node, 4)[0], tuple(texts(node, 1)), tuple(texts(node, 2)), numbers, others)

    def convolution(self, held: dict[str, Weights], rectified: bool) -> Convolution:
        """The convolution that it is. Raises ValueError for one that is not square, or not evenly padded."""
        weight, bias = (held[name] for name in self.inputs[1:])
        square = weight.ndim == 4 and weight.shape[2] == weight.shape[3]
        automatic = self.others.get("auto_pad", "NOTSET") != "NOTSET"
        if not square or automatic or self.numbers.get("group", [1]) != [1]:
            raise ValueError(f"{self.outputs[0]} is no plain convolution with a square kernel")
        lengths = {name: set(self.numbers.get(name, [least])) for name, least in DEFAULTS.items()}
        if any(len(values) != 1 for values in lengths.values()):
            raise ValueError(f"{self.outputs[0]} has unlike {', '.join(lengths)} along its axes")
        stride, padding, dilation = (values.pop() for values in lengths.values())
        return Convolution(weight, bias, stride, padding, dilation, rectified)


DEFAULTS = {"strides": 1, "pads": 0, "dilations": 1}


def _check_chain(nodes: Sequence[_Node], count: int) -> None:
    """Raises ValueError unless the graph is `count` convolutions with ReLU between them, and the normalisation."""
    last = f"conv{count - 1}"
    expected: list[tuple[str, tuple[str, ...], str]] = [("Conv", ("patches", "conv0.weight", "conv0.bias"), "conv0")]
    for index in range(1, count):
        before, name = index - 1, f"conv{index}"
        expected.append(("Relu", (f"conv{before}",), f"relu{before}"))
        expected.append(("Conv", (f"relu{before}", f"{name}.weight", f"{name}.bias"), name))
    expected += [
        ("Mul", (last, last), "norm.0"),
        ("Conv", ("norm.0", "norm.band", "norm.offset"), "norm.1"),
        ("Sqrt", ("norm.1",), "norm.2"),
        ("Sqrt", ("norm.2",), "norm.3"),
        ("Mul", ("norm.2", "norm.3"), "norm.4"),
        ("Div", (last, "norm.4"), "features"),
    ]
    found = [(node.operator, node.inputs, " ".join(node.outputs)) for node in nodes]
    strange = [node for node in found if node not in expected]
    if found != expected:
        told = f"{strange[0][0]} makes {strange[0][-1]}" if strange else "nodes are missing"
        raise ValueError(f"it is not convolutions, ReLU and the normalisation: {told}")


def _tensor(tensor: bytes) -> tuple[str, Weights]:
    """Name and values, from TensorProto: dims 1, data_type 2, float_data 4, name 8, raw_data 9."""
    name = texts(tensor, 8)[0]
    if integers(tensor, 2) != [FLOAT]:
        raise ValueError(f"{name} is not float32")
    content = b"".join(messages(tensor, 9) or messages(tensor, 4))
    return name, np.frombuffer(content, dtype="<f4").reshape(integers(tensor, 1))
