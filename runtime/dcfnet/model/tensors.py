"""Checks the tensors of an ONNX file: all are in the file itself, and all their values are finite.

An engine can hide a value that is not a number: ReLU of NaN is 0 in OpenCV. So this check reads the file, not features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dcfnet.model.protobuf import fields, integers, messages, texts

MAX_NESTING = 8  # graphs inside graphs; models of this project have none
# TensorProto.DataType -> dtype and the field of values that are not in raw_data
FLOATS = {1: ("<f4", 4), 10: ("<f2", None), 11: ("<f8", 10)}

# Field numbers of onnx.proto3: ModelProto.graph 7, .training_info 20, .functions 25; TrainingInfoProto.initialization
# 1, .algorithm 2; FunctionProto.node 7; GraphProto.node 1, .initializer 5, .sparse_initializer 15; NodeProto.attribute
# 5; AttributeProto.t 5, .g 6, .tensors 10, .graphs 11, .sparse_tensor 22, .sparse_tensors 23; SparseTensorProto.values
# 1, .indices 2; TensorProto.data_type 2, .float_data 4, .name 8, .raw_data 9, .double_data 10, .external_data 13.


def check_tensors(onnx: bytes) -> str:
    """What is wrong with the tensors of a model, for a message; "" if nothing is.

    Raises ValueError or IndexError for bytes that are not an ONNX model.
    """
    if not messages(onnx, 7):
        raise ValueError("no graph")
    for tensor in _tensors(onnx):
        if any(number == 13 for number, _ in fields(tensor)):
            return "its weights are in other files; a model must be one file, export it again"
        if not _finite(tensor):
            name = "".join(texts(tensor, 8))
            return f"its tensor {name!r} has values that are NaN or infinite; export it from another checkpoint"
    return ""


def _finite(tensor: bytes) -> bool:
    dtype, field = FLOATS.get(sum(integers(tensor, 2)), ("", None))
    if not dtype:
        return True
    content = b"".join(messages(tensor, 9) or (messages(tensor, field) if field else []))
    return bool(np.isfinite(np.frombuffer(content, dtype)).all())


def _tensors(onnx: bytes) -> Iterator[bytes]:
    """All tensors of a model: of its graphs and of its functions."""
    for training in messages(onnx, 20):
        for graph in messages(training, 1, 2):
            yield from _of_graph(graph)
    for function in messages(onnx, 25):
        for node in messages(function, 7):
            yield from _of_node(node)
    for graph in messages(onnx, 7):
        yield from _of_graph(graph)


def _of_graph(graph: bytes, depth: int = 0) -> Iterator[bytes]:
    """The initialisers of a graph and the tensors of its nodes."""
    if depth > MAX_NESTING:
        raise ValueError("graphs are nested too deeply")
    yield from messages(graph, 5)
    for sparse in messages(graph, 15):
        yield from messages(sparse, 1, 2)
    for node in messages(graph, 1):
        yield from _of_node(node, depth)


def _of_node(node: bytes, depth: int = 0) -> Iterator[bytes]:
    """The tensors in the attributes of a node, and those of nested graphs."""
    for attribute in messages(node, 5):
        yield from messages(attribute, 5, 10)
        for sparse in messages(attribute, 22, 23):
            yield from messages(sparse, 1, 2)
        for nested in messages(attribute, 6, 11):
            yield from _of_graph(nested, depth + 1)
