"""Half precision: inserts casts around the convolutions of an exported graph, and converts weights to 16 bits.

The normalisation stays float32: it squares features, and the largest float16 is 65,504.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, checker, helper, load_from_string, numpy_helper

from dcfnet_export.naming import INPUT

HALF, FLOAT = ".half", ".float"  # suffixes of the outputs of casts
ACTIVATIONS = ("Relu", "Clip")


def halve(onnx: bytes, layers: Sequence[str], patches: bool = False) -> bytes:
    """The model with these convolutions in float16, and with the activations and sums of their outputs.

    layers: names of convolutions. patches: also converts the input, if only these convolutions read it. Patches are
    integers, and float16 represents them exactly. The rest of input and output and the metadata stay. The same
    arguments produce the same bytes.
    """
    proto = load_from_string(onnx)
    halved = _half_tensors(proto.graph, layers)
    if patches and all(node.output[0] in halved for node in proto.graph.node if INPUT in node.input):
        halved.add(INPUT)
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    nodes: list[NodeProto] = []
    casts: set[str] = set()
    for node in proto.graph.node:
        inside = node.output[0] in halved
        for position, tensor in enumerate(node.input):
            if not tensor or _is_weight(proto.graph, tensor) or (tensor in halved) == inside:
                continue
            cast, kind = (tensor + HALF, TensorProto.FLOAT16) if inside else (tensor + FLOAT, TensorProto.FLOAT)
            if cast not in casts:
                nodes.append(helper.make_node("Cast", [tensor], [cast], name=cast, to=kind))
                casts.add(cast)
            node.input[position] = cast
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    _halve_weights(proto.graph, halved)
    checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _half_tensors(graph: GraphProto, layers: Sequence[str]) -> set[str]:
    """Names of the outputs of the nodes in half precision."""
    halved: set[str] = set()
    for node in graph.node:
        activation = node.op_type in ACTIVATIONS and node.input[0] in halved
        total = node.op_type == "Add" and set(node.input) <= halved
        if node.name in layers or activation or total:
            halved.add(node.output[0])
    return halved


def _is_weight(graph: GraphProto, tensor: str) -> bool:
    return any(constant.name == tensor for constant in graph.initializer)


def _halve_weights(graph: GraphProto, halved: set[str]) -> None:
    """Converts the constants that nodes in half precision read: weights, and the limits of Clip."""
    read = {tensor for node in graph.node if node.output[0] in halved for tensor in node.input}
    for weight in graph.initializer:
        if weight.name in read:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name))
