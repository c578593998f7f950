"""Pictures of the moments in which a tracker goes wrong, beside the truth and the other trackers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL.Image import Image

from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.records import Evaluation
from dcfnet_evaluation.report.moments import Moment
from dcfnet_evaluation.report.palette import OF_TRUTH, TRUTH, Colour, colours
from dcfnet_evaluation.report.pictures import CLIP_RATE, Marked, clip, draw, still
from dcfnet_evaluation.sequences import AnnotatedSequence

FOOTAGE_RATE = 30  # Hz that footage is taken to have: data sets do not say
STEP = FOOTAGE_RATE // CLIP_RATE
BEFORE, AFTER = 20, 40  # frames of a clip before and after the failure: 2 s


@dataclass(frozen=True)
class Picture:
    """One frame as WebP, what it shows, and its size in px."""

    frame: int
    label: str
    content: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Scene:
    """A moment in pictures. said: what the tracker answered in it. clip: animated WebP, empty where left out."""

    moment: Moment
    said: str
    stills: Sequence[Picture]
    clip: bytes


def scenes(
    evaluation: Evaluation, sequences: Mapping[str, AnnotatedSequence], moments: Sequence[Moment]
) -> Iterator[Scene]:
    """The moments of the first tracker in pictures, one after the other. Raises SequenceError for unreadable frames."""
    for moment in moments:
        passes = {name: found[moment.sequence].passes[moment.turn] for name, found in evaluation.passes.items()}
        yield _scene(moment, sequences[moment.sequence], passes)


def _scene(moment: Moment, sequence: AnnotatedSequence, passes: Mapping[str, Pass]) -> Scene:
    first = next(iter(passes.values()))
    end = first.start + len(first.boxes)
    stills = _labels(moment)
    moving = range(max(moment.frame - BEFORE, first.start), min(moment.frame + AFTER, end), STEP)
    drawn = {i: _drawn(i, sequence, passes) for i in sorted({*stills, *moving})}  # in order: a video goes one way
    return Scene(
        moment=moment,
        said=_said(moment),
        stills=[Picture(i, label, still(drawn[i]), *drawn[i].size) for i, label in stills.items()],
        clip=clip([drawn[i] for i in moving]) if moment.missed else b"",
    )


def _labels(moment: Moment) -> dict[int, str]:
    """The frames to show still, and what each is."""
    if not moment.missed:
        return {moment.frame: "worst frame"}
    wanted = {moment.before: "last hit", moment.frame: "first miss"}
    middle = (moment.frame + moment.last) // 2
    return wanted | ({} if middle in wanted else {middle: "later"})


def _drawn(index: int, sequence: AnnotatedSequence, passes: Mapping[str, Pass]) -> Image:
    at = {name: index - done.start for name, done in passes.items()}
    first = next(iter(passes))
    status = passes[first].statuses[at[first]]
    boxes = {TRUTH: sequence.boxes[index]} | {name: done.boxes[at[name]] for name, done in passes.items()}
    shown: dict[str, Colour] = {TRUTH: OF_TRUTH, **colours(passes)}
    return draw(Marked(sequence.read(index), boxes, shown, f"frame {index}" + f": {status}" * bool(status)))


def _said(moment: Moment) -> str:
    """What the tracker answered in the frames of the moment, in words."""
    spoken = {status: count for status, count in moment.said.items() if status}
    if not spoken:
        return "It does not say whether it can be believed."
    counts = ", ".join(f"“{status}” in {count}" for status, count in spoken.items())
    return f"It said {counts} of {moment.frames} frame{'s' * (moment.frames != 1)}."
