"""The layers of a model, read from its ONNX bytes for the native backbone.

The only supported graph is a chain of convolutions with ReLU between them, then the normalisation, with the names that
dcfnet-export writes: conv0, relu0, conv1, ..., norm.*. The error for another graph names the unsupported node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import ModelError
from dcfnet.model.file import Model
from dcfnet.model.protobuf import integers, messages, texts

Weights = NDArray[np.float32]
FLOAT = 1  # TensorProto.DataType


@dataclass(frozen=True)
class Convolution:
    """One convolution. weight: float32 (O, I, K, K). bias: float32 (O,). rectified: a ReLU follows.

    stride, padding, dilation: pixels of the input.
    """

    weight: Weights
    bias: Weights
    stride: int
    padding: int
    dilation: int
    rectified: bool

    def result_side(self, side: int) -> int:
        """Side of the output maps for input maps of this side."""
        kernel_extent = self.dilation * (self.weight.shape[-1] - 1) + 1
        return int(side + 2 * self.padding - kernel_extent) // self.stride + 1


@dataclass(frozen=True)
class Normalisation:
    """x / (offset + band . x^2)^(3/4) over channels. band: float32 (C, C). offset: float32 (C,)."""

    band: Weights
    offset: Weights

    def reach(self) -> int:
        """How many channels on each side contribute to the divisor of a channel."""
        rows, columns = np.nonzero(self.band)
        return int(np.abs(rows - columns).max(initial=0))


def unsupported_reason(model: Model) -> str | None:
    """Why the native backbone cannot run a model, according to its metadata; None if it can."""
    if model.is_engine:
        return "it is a TensorRT engine"
    if model.precision != "fp32":
        return f"its precision is {model.precision}, it must be fp32"
    if model.levels:
        return f"its features have {len(model.levels)} levels, they must have one"
    return f"{', '.join(model.folded)} is folded into the graph" if model.folded else None


def read_layers(model: Model) -> tuple[tuple[Convolution, ...], Normalisation]:
    """The convolutions, in order, and the normalisation. Raises ModelError that names the unsupported part."""
    reason = unsupported_reason(model)
    if reason:
        remedy = "export it as fp32 without --fold, or use engine='onnxruntime'"
        raise ModelError(f"{model.name}: the native backbone cannot run this model: {reason}; {remedy}")
    try:
        graph = messages(model.onnx, 7)[0]
        nodes = [_Node.read(node) for node in messages(graph, 1)]
        weights = dict(_tensor(tensor) for tensor in messages(graph, 5))
        count = len([node for node in nodes if node.operator == "Conv"]) - 1
        _check_chain(nodes, count)
        convolutions = tuple(nodes[2 * index].convolution(weights, index < count - 1) for index in range(count))
        return convolutions, Normalisation(weights["norm.band"][:, :, 0, 0], weights["norm.offset"])
    except (IndexError, KeyError, ValueError) as error:
        raise ModelError(
            f"{model.name}: the native backbone cannot run this graph: {error}; export it again"
        ) from error


@dataclass(frozen=True)
class _Node:
    """A node of the graph. numbers: integer attributes, as lists. others: string attributes."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[str, list[int]]
    others: dict[str, str]

    @classmethod
    def read(cls, node: bytes) -> _Node:
        """Reads NodeProto: input 1, output 2, op_type 4, attribute 5; AttributeProto: name 1, i 3, s 4, ints 8."""
        attributes = {texts(attribute, 1)[0]: attribute for attribute in messages(node, 5)}
        numbers = {name: integers(attribute, 3) + integers(attribute, 8) for name, attribute in attributes.items()}
        others = {name: "".join(texts(attribute, 4)) for name, attribute in attributes.items()}
        return cls(texts(node, 4)[0], tuple(texts(node, 1)), tuple(texts(node, 2)), numbers, others)

    def convolution(self, weights: dict[str, Weights], rectified: bool) -> Convolution:
        """The node as a convolution. Raises ValueError if this class cannot represent it."""
        weight, bias = (weights[name] for name in self.inputs[1:])
        square = weight.ndim == 4 and weight.shape[2] == weight.shape[3]
        automatic = self.others.get("auto_pad", "NOTSET") != "NOTSET"
        if not square or automatic or self.numbers.get("group", [1]) != [1]:
            raise ValueError(
                f"{self.outputs[0]} must be a convolution with a square kernel, group 1 and explicit padding"
            )
        lengths = {name: set(self.numbers.get(name, [default])) for name, default in DEFAULTS.items()}
        if any(len(values) != 1 for values in lengths.values()):
            raise ValueError(f"{self.outputs[0]} must have equal {', '.join(lengths)} along both axes")
        stride, padding, dilation = (values.pop() for values in lengths.values())
        return Convolution(weight, bias, stride, padding, dilation, rectified)


DEFAULTS = {"strides": 1, "pads": 0, "dilations": 1}


def _check_chain(nodes: Sequence[_Node], count: int) -> None:
    """Raises ValueError unless the nodes are `count` convolutions with ReLU between them, then the normalisation."""
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
    unexpected = [node for node in found if node not in expected]
    if found != expected:
        reason = f"{unexpected[0][0]} computes {unexpected[0][-1]}" if unexpected else "nodes are missing"
        raise ValueError(f"it must be convolutions with ReLU, then the normalisation, but {reason}")


def _tensor(tensor: bytes) -> tuple[str, Weights]:
    """Name and values of TensorProto: dims 1, data_type 2, float_data 4, name 8, raw_data 9."""
    name = texts(tensor, 8)[0]
    if integers(tensor, 2) != [FLOAT]:
        raise ValueError(f"{name} must be float32")
    content = b"".join(messages(tensor, 9) or messages(tensor, 4))
    return name, np.frombuffer(content, dtype="<f4").reshape(integers(tensor, 1))
