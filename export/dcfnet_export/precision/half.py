"""Convolutions in half precision: inserts casts into an exported graph, and converts weights to 16 bits.

The normalisation stays float32: it squares features, and the largest float16 is 65,504.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, checker, helper, load_from_string, numpy_helper

from dcfnet_export.naming import INPUT

HALF, FLOAT = ".half", ".float"  # suffixes of the outputs of casts


def halve(onnx: bytes, layers: Sequence[str], patches: bool = False) -> bytes:
    """The model with these convolutions and the ReLUs after them in float16.

    layers: names of convolutions. patches: also converts the input, if only these convolutions read it. Patches are
    integers, and float16 represents them exactly. The rest of input and output and the metadata stay. The same
    arguments produce the same bytes.
    """
    proto = load_from_string(onnx)
    halved = _half_nodes(proto.graph, layers)
    if patches and all(node.name in halved for node in proto.graph.node if INPUT in node.input):
        halved.add(INPUT)
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    nodes: list[NodeProto] = []
    casts: set[str] = set()
    for node in proto.graph.node:
        inside = node.name in halved
        for position, tensor in enumerate(node.input):
            if _is_weight(proto.graph, tensor) or (tensor in halved) == inside:
                continue
            cast, kind = (tensor + HALF, TensorProto.FLOAT16) if inside else (tensor + FLOAT, TensorProto.FLOAT)
            if cast not in casts:
                nodes.append(helper.make_node("Cast", [tensor], [cast], name=cast, to=kind))
                casts.add(cast)
            node.input[position] = cast
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    _halve_weights(proto.graph, layers)
    checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _half_nodes(graph: GraphProto, layers: Sequence[str]) -> set[str]:
    """Names of the nodes in half precision. Their outputs have the same names."""
    halved = set(layers)
    for node in graph.node:
        if node.op_type == "Relu" and node.input[0] in halved:
            halved.add(node.name)
    return halved


def _is_weight(graph: GraphProto, tensor: str) -> bool:
    return any(constant.name == tensor for constant in graph.initializer)


def _halve_weights(graph: GraphProto, layers: Sequence[str]) -> None:
    for weight in graph.initializer:
        if weight.name.rpartition(".")[0] in layers:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name))
