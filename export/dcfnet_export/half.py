"""Convolutions in half precision: casts put into an exported graph, and weights of 16 bits.

The normalisation stays float32: it squares features, and half precision ends at 65,504.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, checker, helper, load_from_string, numpy_helper

from dcfnet_export.naming import INPUT

HALF, FLOAT = ".half", ".float"  # put after a tensor's name by a cast


def halve(onnx: bytes, layers: Sequence[str], patches: bool = False) -> bytes:
    """The model with these convolutions, by their names, and the ReLUs behind them in float16.

    patches: whether its input is, too, where nothing but these convolutions reads it; patches are whole numbers, all of
    which float16 holds. All else of input and output stays, and so does the metadata; the same input gives the same
    bytes.
    """
    proto = load_from_string(onnx)
    halved = _halved(proto.graph, layers)
    if patches and all(node.name in halved for node in proto.graph.node if INPUT in node.input):
        halved.add(INPUT)
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    nodes: list[NodeProto] = []
    made: set[str] = set()
    for node in proto.graph.node:
        inside = node.name in halved
        for position, tensor in enumerate(node.input):
            if _is_weight(proto.graph, tensor) or (tensor in halved) == inside:
                continue
            cast, kind = (tensor + HALF, TensorProto.FLOAT16) if inside else (tensor + FLOAT, TensorProto.FLOAT)
            if cast not in made:
                nodes.append(helper.make_node("Cast", [tensor], [cast], name=cast, to=kind))
                made.add(cast)
            node.input[position] = cast
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    _halve_weights(proto.graph, layers)
    checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _halved(graph: GraphProto, layers: Sequence[str]) -> set[str]:
    """Names of the nodes that become half precision, which are those of their outputs too."""
    halved = set(layers)
    for node in graph.node:
        if node.op_type == "Relu" and node.input[0] in halved:
            halved.add(node.name)
    return halved


def _is_weight(graph: GraphProto, tensor: str) -> bool:
    return any(held.name == tensor for held in graph.initializer)


def _halve_weights(graph: GraphProto, layers: Sequence[str]) -> None:
    for held in graph.initializer:
        if held.name.rpartition(".")[0] in layers:
            held.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(held).astype(np.float16), held.name))
