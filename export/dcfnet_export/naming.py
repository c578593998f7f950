"""Names of what is in an exported graph: the same for every export, so that other files can speak of them.

    patches -> conv0 -> relu0 -> conv1 -> ... -> norm.* -> features

A node and the tensor that it gives have one name; `conv0.weight` and `conv0.bias` are what `conv0` holds. Nodes of the
normalisation are counted, `norm.0` to `norm.5`.
"""

from __future__ import annotations

import onnx

INPUT, OUTPUT = "patches", "features"
NORM = "norm."  # prefix of the normalisation's nodes and constants
CONVOLUTION = "conv"


def rename(graph: onnx.GraphProto) -> None:
    """Gives the exporter's graph these names, in place: convolutions with ReLU between them, then the normalisation."""
    names = {INPUT: INPUT, OUTPUT: OUTPUT}
    last = max(index for index, node in enumerate(graph.node) if node.op_type == "Conv" and not _of_norm(node))
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
    for held in graph.initializer:
        held.name = names[held.name]


def convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the network's convolutions, first to last; the one that sums energies for the normalisation is none."""
    return [node.name for node in graph.node if node.op_type == "Conv" and node.name.startswith(CONVOLUTION)]


def _of_norm(node: onnx.NodeProto) -> bool:
    """Whether a convolution of the exporter's graph is the normalisation's: it holds `band`."""
    return any(tensor.endswith("band") for tensor in node.input)
