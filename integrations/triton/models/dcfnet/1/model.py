"""The model of Triton's Python backend. It converts requests and responses; `dcfnet_triton` has the rules."""

from __future__ import annotations

import json
from typing import Any

import triton_python_backend_utils as pb_utils
from dcfnet_triton.opening import open_sequences
from dcfnet_triton.tensors import INPUTS, error_code, request_of, tensors_of


class TritonPythonModel:
    """Triton makes one for each model instance. The name and the methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """args: Triton's; `model_config` is the model configuration as JSON. An error stops the loading."""
        self._sequences = open_sequences(json.loads(args["model_config"]))

    def execute(self, requests: list[Any]) -> list[Any]:
        """A response for each request, in their order."""
        tensors = [{name: pb_utils.get_input_tensor_by_name(request, name) for name in INPUTS} for request in requests]
        given = [
            request_of({name: tensor.as_numpy() for name, tensor in inputs.items() if tensor is not None})
            for inputs in tensors
        ]
        return [_response(answer) for answer in self._sequences.answers(given)]

    def finalize(self) -> None:
        """Triton calls it before it unloads the model."""
        self._sequences.close()


def _response(answer: Any) -> Any:
    if isinstance(answer, Exception):
        code = getattr(pb_utils.TritonError, error_code(answer))
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), code))
    outputs = [pb_utils.Tensor(name, array) for name, array in tensors_of(answer).items()]
    return pb_utils.InferenceResponse(output_tensors=outputs)
