"""The targets of a model of Triton: a request with START adds one, a request with END removes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dcfnet.errors import CapacityError, DcfnetError, InvalidBoxError, UnknownTargetError
from dcfnet.result import Box
from dcfnet.tracker import MultiTracker

from dcfnet_triton.tensors import Answer, Request


@dataclass
class _Target:
    """source: the key of its frames in the tracker, never used again. seen: time of its newest request, s."""

    id: int
    source: int
    seen: float


class Sequences:
    """A target for each sequence of requests. One thread at a time uses it, as Triton does with a model instance."""

    def __init__(
        self, tracker: MultiTracker, limit: int, idle: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """limit: the largest number of sequences. idle: a sequence without a request for this time ends, s."""
        self._tracker, self._limit, self._idle, self._clock = tracker, limit, idle, clock
        self._targets: dict[int, _Target] = {}  # by correlation id
        self._next_source = 0

    def __len__(self) -> int:
        return len(self._targets)

    def answers(self, requests: Sequence[Request]) -> list[Answer | DcfnetError]:
        """An answer for each request, in their order. An error is for that request alone.

        Requests of different sequences are searched as one batch. An unknown sequence, a bad frame or box at START,
        and a START above the limit give an error. A bad frame of a started target gives a result with a reason.
        """
        now = self._clock()
        for request in requests:
            if request.sequence in self._targets:
                self._targets[request.sequence].seen = now
        self._end_idle(now)
        answers: dict[int, Answer | DcfnetError] = {}
        for turn in _turns(requests):
            answers.update(self._turn({index: requests[index] for index in turn}, now))
        return [answers[index] for index in range(len(requests))]

    def close(self) -> None:
        """Ends all sequences and frees the tracker."""
        self._targets.clear()
        self._tracker.close()

    def _turn(self, requests: dict[int, Request], now: float) -> dict[int, Answer | DcfnetError]:
        """Answers requests of different sequences. Ends come before starts, so that a free slot can be used at once."""
        answers = self._update({index: request for index, request in requests.items() if not request.start})
        for request in requests.values():
            if request.start or request.end:  # a START of a known sequence starts it again
                self._end(request.sequence)
        for index, request in requests.items():
            if request.start:
                answers[index] = self._start(request, now)
                if request.end:
                    self._end(request.sequence)
        return answers

    def _start(self, request: Request, now: float) -> Answer | DcfnetError:
        try:
            if request.problem:
                raise request.problem
            if request.box is None or request.frame is None:
                raise InvalidBoxError("no BOX: the first request of a sequence needs the box of the target, x, y, w, h")
            if len(self) >= self._limit:
                raise CapacityError(
                    f"{len(self)} sequences are active, the limit: end one, or raise max_candidate_sequences"
                )
            target = self._tracker.add(request.frame, request.box, self._next_source)
        except DcfnetError as error:
            return error
        self._targets[request.sequence] = _Target(target, self._next_source, now)
        self._next_source += 1
        return Answer(Box(*request.box))

    def _update(self, requests: dict[int, Request]) -> dict[int, Answer | DcfnetError]:
        answers: dict[int, Answer | DcfnetError] = {}
        known: dict[int, _Target] = {}
        for index, request in requests.items():
            if request.sequence not in self._targets:
                answers[index] = UnknownTargetError(
                    f"no sequence {request.sequence}: it was not started, or it ended; send START with a BOX"
                )
            elif request.problem:
                answers[index] = request.problem
            else:
                known[index] = self._targets[request.sequence]
        if known:
            answers.update(self._search(requests, known))
        return answers

    def _search(self, requests: dict[int, Request], known: dict[int, _Target]) -> dict[int, Answer | DcfnetError]:
        frames = {target.source: requests[index].frame for index, target in known.items()}
        times = {target.source: time for index, target in known.items() if (time := requests[index].time) is not None}
        try:
            results = self._tracker.update(frames, times or None)
        except DcfnetError as error:  # of the device: no target was searched
            return dict.fromkeys(known, error)
        return {index: Answer(results[target.id].box, results[target.id]) for index, target in known.items()}

    def _end(self, sequence: int) -> None:
        target = self._targets.pop(sequence, None)
        if target:
            self._tracker.remove(target.id)

    def _end_idle(self, now: float) -> None:
        for sequence in [key for key, target in self._targets.items() if now - target.seen > self._idle]:
            self._end(sequence)


def _turns(requests: Sequence[Request]) -> Iterator[list[int]]:
    """Indices of the requests, in groups: the n-th request of each sequence is in the n-th group."""
    turns: list[list[int]] = []
    count: dict[int, int] = {}
    for index, request in enumerate(requests):
        turn = count[request.sequence] = count.get(request.sequence, -1) + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(index)
    yield from turns
