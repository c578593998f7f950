"""Pictures of the worst moments of a tracker, with the true boxes and those of the other trackers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL.Image import Image

from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.passes.records import Evaluation
from dcfnet_evaluation.report.moments import Moment
from dcfnet_evaluation.report.palette import TRUTH, TRUTH_COLOUR, Colour, colours
from dcfnet_evaluation.report.pictures import CLIP_RATE, MarkedFrame, clip, draw, still
from dcfnet_evaluation.sequences import AnnotatedSequence

FOOTAGE_RATE = 30  # Hz, assumed frame rate: datasets do not give it
STEP = FOOTAGE_RATE // CLIP_RATE
BEFORE, AFTER = 20, 40  # frames of a clip before and after the first miss, 2 s in all


@dataclass(frozen=True)
class Picture:
    """One frame as WebP. label: its role in the moment. width, height: px."""

    frame: int
    label: str
    content: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Scene:
    """Pictures of a moment. status_text: sentence about its statuses. clip: animated WebP, empty if it is left out."""

    moment: Moment
    status_text: str
    stills: Sequence[Picture]
    clip: bytes


def scenes(
    evaluation: Evaluation, sequences: Mapping[str, AnnotatedSequence], moments: Sequence[Moment]
) -> Iterator[Scene]:
    """The scene of each moment of the first tracker. Raises SequenceError if a frame cannot be read."""
    for moment in moments:
        passes = {
            name: by_sequence[moment.sequence].passes[moment.pass_index]
            for name, by_sequence in evaluation.passes.items()
        }
        yield _scene(moment, sequences[moment.sequence], passes)


def _scene(moment: Moment, sequence: AnnotatedSequence, passes: Mapping[str, Pass]) -> Scene:
    first = next(iter(passes.values()))
    end = first.start + len(first.boxes)
    stills = _labels(moment)
    moving = range(max(moment.frame - BEFORE, first.start), min(moment.frame + AFTER, end), STEP)
    drawn = {
        i: _draw_frame(i, sequence, passes) for i in sorted({*stills, *moving})
    }  # in order, because a video is decoded forwards
    return Scene(
        moment=moment,
        status_text=_status_text(moment),
        stills=[Picture(i, label, still(drawn[i]), *drawn[i].size) for i, label in stills.items()],
        clip=clip([drawn[i] for i in moving]) if moment.missed else b"",
    )


def _labels(moment: Moment) -> dict[int, str]:
    """Frame -> label of the frames to show as still pictures."""
    if not moment.missed:
        return {moment.frame: "worst frame"}
    labels = {moment.last_hit: "last hit", moment.frame: "first miss"}
    middle = (moment.frame + moment.last) // 2
    return labels | ({} if middle in labels else {middle: "later"})


def _draw_frame(index: int, sequence: AnnotatedSequence, passes: Mapping[str, Pass]) -> Image:
    indices = {name: index - one_pass.start for name, one_pass in passes.items()}
    first = next(iter(passes))
    status = passes[first].statuses[indices[first]]
    boxes = {TRUTH: sequence.boxes[index]} | {name: one_pass.boxes[indices[name]] for name, one_pass in passes.items()}
    shown: dict[str, Colour] = {TRUTH: TRUTH_COLOUR, **colours(passes)}
    return draw(MarkedFrame(sequence.read(index), boxes, shown, f"frame {index}" + f": {status}" * bool(status)))


def _status_text(moment: Moment) -> str:
    """A sentence with the statuses of the tracker in the frames of the moment."""
    counts = {status: count for status, count in moment.statuses.items() if status}
    if not counts:
        return "The tracker reports no status."
    count_text = ", ".join(f"“{status}” in {count}" for status, count in counts.items())
    return f"Its status was {count_text} of {moment.frames} frame{'s' * (moment.frames != 1)}."
