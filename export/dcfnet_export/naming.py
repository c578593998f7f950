"""Names in an exported graph. They are the same in every export, so that other files can refer to them.

    patches -> conv0 -> relu0 -> conv1 -> ... -> norm.* -> features

A node and its output tensor have the same name. `conv0.weight` and `conv0.bias` are the parameters of `conv0`. The
nodes of the normalisation have numbers, `norm.0` to `norm.5`.
"""

from __future__ import annotations

import onnx

INPUT, OUTPUT = "patches", "features"
NORM = "norm."  # prefix of the normalisation's nodes and constants
CONVOLUTION = "conv"


def rename(graph: onnx.GraphProto) -> None:
    """Renames the exporter's graph, in place: convolutions with ReLU between them, then the normalisation."""
    names = {INPUT: INPUT, OUTPUT: OUTPUT}
    last = max(index for index, node in enumerate(graph.node) if node.op_type == "Conv" and not _is_normalisation(node))
    for index, node in enumerate(graph.node):
        if index <= last:
            node.name = f"{node.op_type.lower()}{index // 2}"
            names |= {tensor: f"{node.name}.{tensor.rpartition('.')[2]}" for tensor in node.input[1:]}
        else:
            node.name = f"{NORM}{index - last - 1}"
            names |= {tensor: NORM + tensor.rpartition(".")[2] for tensor in node.input if tensor not in names}
        names |= {tensor: node.name for tensor in node.output if tensor != OUTPUT}
    for node in graph.node:
        node.input[:] = [names[tensor] for tensor in node.input]
        node.output[:] = [names[tensor] for tensor in node.output]
    for constant in graph.initializer:
        constant.name = names[constant.name]


def convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions of a network, first to last, without the convolution of the normalisation.

    In a deep network they have the names of torch's exporter.
    """
    return [node.name for node in graph.node if node.op_type == "Conv" and not node.name.startswith(NORM)]


def _is_normalisation(node: onnx.NodeProto) -> bool:
    """Whether a convolution of the exporter's graph belongs to the normalisation: it reads `band`."""
    return any(tensor.endswith("band") for tensor in node.input)
