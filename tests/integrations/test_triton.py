"""The model of Triton's Python backend, without Triton: doubles of the names of `triton_python_backend_utils`."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dcfnet.errors import (
    CapacityError,
    ConfigError,
    DeviceError,
    InvalidBoxError,
    InvalidFrameError,
    TimestampError,
    UnknownTargetError,
)
from dcfnet.result import Reason, Status
from dcfnet.tracker import MultiTracker, Tracker
from dcfnet_evaluation.rendered import Clip

from tests.conftest import make_raw_pipeline
from tests.integrations.model_config import read

FOLDER = Path(__file__).parents[2] / "integrations/triton"
MODEL = FOLDER / "models/dcfnet"
sys.path.insert(0, str(FOLDER))

from dcfnet_triton.opening import open_sequences, settings  # noqa: E402
from dcfnet_triton.sequences import Sequences  # noqa: E402
from dcfnet_triton.tensors import INPUTS, Answer, Request, request_of, tensors_of  # noqa: E402


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def small_tracker(cls: Any) -> Any:
    return cls.of(make_raw_pipeline(scales=1, colour_share=0.0, background_penalty=0.0))


def sequences(limit: int = 4, idle: float = 10.0, clock: Clock | None = None) -> Sequences:
    return Sequences(small_tracker(MultiTracker), limit, idle, clock or Clock())


def start(clip: Clip, sequence: int, index: int = 0, **changes: Any) -> Request:
    return Request(sequence, start=True, frame=clip.frame(index), box=tuple(clip.box(index)), **changes)


def library_boxes(clip: Clip, first: int, frames: int) -> list[Any]:
    tracker = small_tracker(Tracker)
    tracker.init(clip.frame(first), clip.box(first))
    return [tracker.update(clip.frame(index)) for index in range(first + 1, first + frames)]


def test_sequences_that_start_at_different_times_have_the_boxes_of_the_library(clip: Clip) -> None:
    own, found = sequences(), {1: [], 2: []}
    for index in range(12):
        requests = [Request(1, frame=clip.frame(index)) if index else start(clip, 1)]
        if index >= 4:
            requests.append(Request(2, frame=clip.frame(index + 10)) if index > 4 else start(clip, 2, 14))
        requests = requests[::-1] if index % 2 else requests
        for request, answer in zip(requests, own.answers(requests), strict=True):
            assert isinstance(answer, Answer)
            found[request.sequence].append(answer)
            request.frame[:] = 0  # Triton uses the memory again
    assert found[1][0] == Answer(clip.box(0))
    assert [answer.result for answer in found[1][1:]] == library_boxes(clip, 0, 12)
    assert [answer.result for answer in found[2][1:]] == library_boxes(clip, 14, 8)


def test_requests_of_one_sequence_in_one_call_are_answered_in_order(clip: Clip) -> None:
    own = sequences()
    given = [start(clip, 7), *(Request(7, frame=clip.frame(index)) for index in (1, 2))]
    assert [answer.result for answer in own.answers(given)[1:]] == library_boxes(clip, 0, 3)


def test_a_bad_request_gets_an_error_and_the_others_their_boxes(clip: Clip) -> None:
    own = sequences()
    own.answers([start(clip, 1)])
    outside, nothing = Request(3, start=True, frame=clip.frame(0), box=(0.0, 0.0, -1.0, 5.0)), clip.frame(0)
    answers = own.answers(
        [
            Request(9, frame=clip.frame(1)),
            outside,
            Request(4, start=True, frame=clip.frame(0)),
            Request(5, start=True, frame=np.zeros((0, 0, 3), np.uint8), box=(1.0, 1.0, 20.0, 20.0)),
            Request(6, start=True, frame=nothing, box=(1.0, 1.0, 20.0, 20.0), problem=TimestampError("TIME")),
            Request(1, frame=clip.frame(1)),
        ]
    )
    expected = [UnknownTargetError, InvalidBoxError, InvalidBoxError, InvalidFrameError, TimestampError]
    assert [type(answer) for answer in answers[:-1]] == expected
    assert "START" in str(answers[0])
    assert "BOX" in str(answers[2])
    assert [answers[-1].result] == library_boxes(clip, 0, 2)
    assert len(own) == 1


def test_a_bad_frame_of_a_started_sequence_is_a_result_with_a_reason(clip: Clip) -> None:
    own = sequences()
    own.answers([start(clip, 1)])
    (answer,) = own.answers([Request(1, frame=np.zeros((2, 2, 3), np.uint8))])
    assert (answer.result.status, answer.result.reason) == (Status.LOST, Reason.BAD_FRAME)
    (answer,) = own.answers([Request(1, frame=clip.frame(1))])
    assert answer.box.iou(clip.box(1)) > 0.8


def test_time_is_passed_to_the_tracker(clip: Clip) -> None:
    own = sequences()
    own.answers([start(clip, 1), start(clip, 2)])
    for expected in (Reason.FOUND, Reason.FROZEN_FRAME):
        with_time, without = own.answers([Request(1, frame=clip.frame(1), time=5.0), Request(2, frame=clip.frame(1))])
        assert with_time.result.reason is expected
        assert without.result.status is Status.TRACKED or expected is Reason.FROZEN_FRAME


def test_the_request_with_end_is_answered_and_the_sequence_is_then_unknown(clip: Clip) -> None:
    own = sequences()
    own.answers([start(clip, 1)])
    (last,) = own.answers([Request(1, end=True, frame=clip.frame(1))])
    assert [last.result] == library_boxes(clip, 0, 2)
    assert isinstance(own.answers([Request(1, frame=clip.frame(2))])[0], UnknownTargetError)
    own.answers([start(clip, 1)])
    own.answers([Request(1, end=True, problem=TimestampError("TIME"))])  # ends in spite of its error
    own.answers([start(clip, 2, end=True)])
    assert len(own) == 0


def test_a_second_start_forgets_the_target_even_if_its_box_is_bad(clip: Clip) -> None:
    own = sequences(limit=1)
    own.answers([start(clip, 1)])
    own.answers([start(clip, 1, 4)])
    (answer,) = own.answers([Request(1, frame=clip.frame(5))])
    assert [answer.result] == library_boxes(clip, 4, 2)
    own.answers([Request(1, start=True, frame=clip.frame(6))])
    assert len(own) == 0


def test_the_number_of_sequences_is_bounded_and_an_end_frees_a_slot_at_once(clip: Clip) -> None:
    own = sequences(limit=2)
    *started, refused = own.answers([start(clip, sequence) for sequence in (1, 2, 3)])
    assert all(isinstance(answer, Answer) for answer in started)
    assert isinstance(refused, CapacityError)
    assert "max_candidate_sequences" in str(refused)
    answers = own.answers([start(clip, 3), Request(1, end=True, frame=clip.frame(1))])
    assert all(isinstance(answer, Answer) for answer in answers)


def test_ended_sequences_leave_nothing_behind(clip: Clip) -> None:
    tracker = small_tracker(MultiTracker)
    own = Sequences(tracker, 4, 10.0)
    for sequence in range(3):
        own.answers([start(clip, sequence), Request(sequence, end=True, frame=clip.frame(1), time=1.0)])
    assert tracker._times.results == tracker._times._last == {}


def test_idle_sequences_end_and_the_others_stay(clip: Clip) -> None:
    clock = Clock()
    own = sequences(idle=10.0, clock=clock)
    own.answers([start(clip, 1), start(clip, 2)])
    for clock.now in (6.0, 12.0):
        own.answers([Request(2, frame=clip.frame(1))])
    assert len(own) == 1
    assert isinstance(own.answers([Request(1, frame=clip.frame(1))])[0], UnknownTargetError)
    clock.now = 30.0  # a request that waited in the queue still finds its target
    assert isinstance(own.answers([Request(2, frame=clip.frame(2))])[0], Answer)


def test_an_error_of_the_device_is_the_answer_and_no_sequence_is_lost(clip: Clip, monkeypatch: Any) -> None:
    own = sequences()
    own.answers([start(clip, 1)])

    def fail(*_: object) -> None:
        raise DeviceError("the GPU failed")

    with monkeypatch.context() as patch:
        patch.setattr(MultiTracker, "update", fail)
        assert isinstance(own.answers([Request(1, frame=clip.frame(1))])[0], DeviceError)
    assert isinstance(own.answers([Request(1, frame=clip.frame(1))])[0], Answer)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("FRAME", np.zeros((2, 8, 8, 3), np.uint8), InvalidFrameError),
        ("FRAME", np.zeros((8, 8, 3), np.uint8), InvalidFrameError),
        ("BOX", np.zeros((1, 3)), InvalidBoxError),
        ("TIME", np.array([[np.nan]]), TimestampError),
        ("TIME", np.array([[1e18]]), TimestampError),
        ("TIME", np.zeros((1, 2)), TimestampError),
    ],
)
def test_a_tensor_that_cannot_be_used_is_the_problem_of_its_request(name: str, value: Any, error: type) -> None:
    given = {"FRAME": np.zeros((1, 8, 8, 3), np.uint8), "CORRID": np.array([[5]], np.uint64), name: value}
    request = request_of({**given, "START": np.array([[True]]), "END": np.array([[False]])})
    assert isinstance(request.problem, error)
    assert (request.sequence, request.start, request.end) == (5, True, False)
    assert isinstance(request_of({"CORRID": given["CORRID"]}).problem, InvalidFrameError)


def test_the_configuration_names_every_tensor_of_the_code_with_its_type_and_shape(clip: Clip) -> None:
    config = read(MODEL / "config.pbtxt")
    assert config["name"] == MODEL.name
    assert config["backend"] == "python"
    controls = {entry["name"]: entry["control"] for entry in config["sequence_batching"]["control_input"]}
    kinds = {name: control.get("kind", "CONTROL_SEQUENCE_START") for name, (control,) in controls.items()}
    assert kinds == {
        "START": "CONTROL_SEQUENCE_START",
        "END": "CONTROL_SEQUENCE_END",
        "CORRID": "CONTROL_SEQUENCE_CORRID",
    }
    assert controls["START"][0]["bool_false_true"] == controls["END"][0]["bool_false_true"] == [False, True]
    assert [*(entry["name"] for entry in config["input"]), *controls] == list(INPUTS)
    assert [entry["name"] for entry in config["input"] if entry.get("optional")] == ["BOX", "TIME"]
    types = {"TYPE_FP64": np.dtype(np.float64), "TYPE_STRING": np.dtype(object)}
    outputs = {entry["name"]: (types[entry["data_type"]], [1, *map(int, entry["dims"])]) for entry in config["output"]}
    answer = tensors_of(Answer(clip.box(0), library_boxes(clip, 0, 2)[0]))
    assert outputs == {name: (array.dtype, list(array.shape)) for name, array in answer.items()}


def test_the_confidence_is_that_of_the_result(clip: Clip) -> None:
    result = replace(library_boxes(clip, 0, 2)[0], confidence=0.3)
    assert tensors_of(Answer(result.box, result))["CONFIDENCE"].item() == 0.3


def test_parameters_become_arguments_and_mistakes_are_errors() -> None:
    values = {"model": "dcfnet", "threads": "2", "preset": "", "EXECUTION_ENV_PATH": "env.tar.gz"}
    given = {"parameters": {name: {"string_value": value} for name, value in values.items()}}
    assert settings(given) == {"model": "dcfnet", "threads": 2}
    assert settings(read(MODEL / "config.pbtxt")) == {"device": "cpu"}
    for name, value in (("modle", "dcfnet"), ("threads", "two")):
        with pytest.raises(ConfigError, match=name):
            settings({"parameters": {name: {"string_value": value}}})
    with pytest.raises(ConfigError, match="max_candidate_sequences"):
        open_sequences({"sequence_batching": {"direct": {}}})


class Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> np.ndarray:
        return self.array


class TritonError(Exception):
    INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE = range(1, 5)

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)


def response(output_tensors: Any = (), error: Any = None) -> SimpleNamespace:
    return SimpleNamespace(outputs={tensor.name: tensor.array for tensor in output_tensors}, error=error)


@pytest.fixture
def model_file(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    double = ModuleType("triton_python_backend_utils")
    vars(double).update(
        Tensor=Tensor,
        TritonError=TritonError,
        InferenceResponse=response,
        get_input_tensor_by_name=lambda request, name: request.get(name),
    )
    monkeypatch.setitem(sys.modules, double.__name__, double)
    spec = importlib.util.spec_from_file_location("triton_model", MODEL / "1/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def request(**arrays: Any) -> dict[str, Tensor]:
    types = {"FRAME": np.uint8, "BOX": np.float64, "TIME": np.float64, "CORRID": np.uint64}
    return {name: Tensor(name, np.array([array], types.get(name, bool))) for name, array in arrays.items()}


def test_the_model_file_with_the_shipped_configuration_tracks_as_the_library(model_file: Any, clip: Clip) -> None:
    config = read(MODEL / "config.pbtxt")
    config["parameters"]["model"] = {"string_value": "dcfnet"}
    model = model_file.TritonPythonModel()
    model.initialize({"model_config": json.dumps(config)})
    tracker = Tracker("dcfnet", device="cpu")
    tracker.init(clip.frame(0), clip.box(0))

    def ask(index: int, started: bool, **more: Any) -> dict[str, Tensor]:
        return request(FRAME=clip.frame(index), CORRID=[2**63], START=[started], END=[False], **more)

    (first,) = model.execute([ask(0, True, BOX=clip.box(0))])
    assert first.error is None
    assert (first.outputs["BOX"][0].tolist(), first.outputs["STATUS"].item()) == (list(clip.box(0)), b"")
    for index in (1, 2, 3):
        stranger = {**ask(index, False), **request(CORRID=[8])}
        refused, done = model.execute([stranger, ask(index, False, TIME=[index / 25])])
        expected = tracker.update(clip.frame(index), index / 25)
        assert refused.error.args[1] == TritonError.NOT_FOUND
        assert "no sequence 8" in refused.error.args[0]
        assert tuple(done.outputs["BOX"][0]) == expected.box
        assert done.outputs["STATUS"].item() == expected.status.value.encode()
        assert done.outputs["REASON"].item() == expected.reason.value.encode()
        assert done.outputs["CONFIDENCE"].item() == -1.0  # the model "dcfnet" has no confidence
        assert expected.confidence is None
    bad, full = (ask(4, True, BOX=box) for box in ([0, 0, -1, 5], clip.box(4)))
    for given, limit, code in ((bad, 2, TritonError.INVALID_ARG), (full, 1, TritonError.UNAVAILABLE)):
        given["CORRID"] = Tensor("CORRID", np.array([[9]], np.uint64))
        model._sequences._limit = limit
        assert model.execute([given])[0].error.args[1] == code
    model.finalize()
