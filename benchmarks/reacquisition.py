"""How often a tracker finds a target again: python benchmarks/reacquisition.py PHOTOS [--count 40] [--preset balanced].

Four kinds of clips are rendered from photographs. In the first three the target is not visible for 10 to 60 frames:
covered: a board hides it, and it reappears where its path has led it. exit: it leaves the frame and comes back through
another side. cut: another photograph is shown, and then the scene again. shot: the next shot shows the target in front
of another photograph, elsewhere in the frame. Per kind, after the target is whole again, or after the shot started:
reacquired: share of the clips in which the box is on it (overlap above 0.5, not lost) within 30 frames. delay: number
of frames until then, median, mean and 90 % of the clips. wrong: share in which, 30 frames later, the result is
`tracked` with an overlap under 0.1. lost: share of the invisible frames with the status `lost`; the first 5
(`lost_after`) of each clip do not count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from dcfnet.result import Box, Status
from dcfnet.tracker import Tracker
from dcfnet_evaluation.rendered import Image, blob_mask, paste
from dcfnet_evaluation.scores.metrics import SUCCESS_OVERLAP
from dcfnet_evaluation.scores.trust import FAILED_OVERLAP
from look_alikes import HEIGHT, WIDTH, read, wander
from numpy.typing import NDArray

VISIBLE, WITHIN, SETTLED = 35, 30, 5  # frames: before the target is hidden; to find it again; until it must be lost
LEAVING = 8  # frames that a target takes from its path to outside the frame, and back
LAST = 5  # frames rendered after the last one that counts
KINDS = ("covered", "exit", "cut", "shot")


@dataclass(frozen=True)
class Scene:
    """A target on its path in front of a photograph. at(t): its box. frame(t, box): the frame with the target there.

    cover: another photograph. in_cover(box): a frame of it, with the target there.
    """

    at: Callable[[int], Box]
    frame: Callable[[int, Box], Image]
    cover: Image
    in_cover: Callable[[Box], Image]
    gap: int  # frames without the target

    @property
    def end(self) -> int:
        """First frame in which the target is visible again."""
        return VISIBLE + self.gap


def scene(rng: np.random.Generator, photos: list[Path]) -> Scene:
    """A random scene."""
    background, source, cover = (read(photos, rng) for _ in range(3))
    size = rng.uniform(28, 60, size=2)
    tall, wide = (int(side * 1.2) for side in size[::-1])
    corners = rng.integers((source.shape[1] - wide, source.shape[0] - tall), size=(8, 2))
    texture = max((source[y : y + tall, x : x + wide] for x, y in corners), key=np.std).copy()
    mask = blob_mask(rng, tall, wide, waviness=0.0)
    path, camera = (
        wander(rng, np.array([WIDTH / 2, HEIGHT / 2]), 75, 0.06),
        wander(rng, np.array([40.0, 30.0]), 12, 0.05),
    )

    def frame(t: int, box: Box) -> Image:
        left, top = camera(t).clip(0, (79, 59)).astype(int)
        image = background[top : top + HEIGHT, left : left + WIDTH].copy()
        paste(image, texture, mask, box)
        return image

    def in_cover(box: Box) -> Image:
        image = cover[:HEIGHT, :WIDTH].copy()
        paste(image, texture, mask, box)
        return image

    return Scene(lambda t: Box.of(path(t), size), frame, cover, in_cover, int(rng.integers(10, 61)))


def covered(it: Scene, rng: np.random.Generator) -> Iterator[tuple[Image, Box | None]]:
    """A board hides all places of the target."""
    corners = np.array([it.at(t).xyxy for t in range(VISIBLE, it.end)])
    left, top = corners[:, :2].min(axis=0).astype(int).clip(0) - 2
    right, bottom = corners[:, 2:].max(axis=0).astype(int) + 3
    board = slice(max(top, 0), bottom), slice(max(left, 0), right)
    for t in range(it.end + WITHIN + LAST):
        image, hidden = it.frame(t, it.at(t)), VISIBLE <= t < it.end
        if hidden:
            image[board] = it.cover[:HEIGHT, :WIDTH][board]
        yield image, None if hidden else it.at(t)


def leaves(it: Scene, rng: np.random.Generator) -> Iterator[tuple[Image, Box | None]]:
    """The target leaves through one side and comes back through another one."""
    out, back = (outside(it.at(t), side) for t, side in zip((VISIBLE, it.end), rng.permutation(4)[:2], strict=True))
    for t in range(it.end + LEAVING + WITHIN + LAST):
        if t < VISIBLE - LEAVING or t >= it.end + LEAVING:
            box = it.at(t)
        elif t < VISIBLE:
            box = between(it.at(t), out, (t - VISIBLE + LEAVING + 1) / LEAVING)
        else:
            box = between(it.at(t), back, 1 - (t - it.end) / LEAVING) if t >= it.end else out
        yield it.frame(t, box), box if whole(box) else None


def cut(it: Scene, rng: np.random.Generator) -> Iterator[tuple[Image, Box | None]]:
    """Another photograph is shown."""
    for t in range(it.end + WITHIN + LAST):
        hidden = VISIBLE <= t < it.end
        image = it.cover[:HEIGHT, t % 40 : t % 40 + WIDTH].copy() if hidden else it.frame(t, it.at(t))
        yield image, None if hidden else it.at(t)


def shot(it: Scene, rng: np.random.Generator) -> Iterator[tuple[Image, Box | None]]:
    """The next shot: another photograph, and the target elsewhere."""
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    jump = rng.uniform(-middle, middle)
    for t in range(VISIBLE + WITHIN + LAST):
        box = it.at(t)
        if t < VISIBLE:
            yield it.frame(t, box), box
        else:
            margin = np.array(box.size) / 2
            moved = Box.of(np.clip(box.centre + jump, margin, 2 * middle - margin - 1), box.size)
            yield it.in_cover(moved), moved


def outside(box: Box, side: int) -> Box:
    """The box, moved out of the frame through a side: 0 left, 1 right, 2 top, 3 bottom."""
    x = (-box.w, WIDTH + 2.0, box.x, box.x)[side]
    y = (box.y, box.y, -box.h, HEIGHT + 2.0)[side]
    return Box(x, y, box.w, box.h)


def between(start: Box, end: Box, share: float) -> Box:
    """The box on the straight line between two boxes."""
    return Box(start.x + (end.x - start.x) * share, start.y + (end.y - start.y) * share, start.w, start.h)


def whole(box: Box) -> bool:
    """Whether the whole box is in the frame."""
    return box.x >= 0 and box.y >= 0 and box.x + box.w <= WIDTH and box.y + box.h <= HEIGHT


RENDER = {"covered": covered, "exit": leaves, "cut": cut, "shot": shot}


def judged(tracker: Tracker, kind: str, seed: int, photos: list[Path]) -> tuple[float, bool, float]:
    """One clip: frames until the target was found again (infinite: not within WITHIN), wrong, share of lost frames."""
    rng = np.random.default_rng((KINDS.index(kind), seed))
    clip = RENDER[kind](scene(rng, photos), rng)
    image, first = next(clip)
    assert first is not None
    tracker.init(blurred(image), first)
    overlap, lost, tracked, visible = [1.0], [False], [True], [True]
    for image, box in clip:
        result = tracker.update(blurred(image))
        overlap.append(result.box.iou(box) if box else 0.0)
        lost.append(result.status == Status.LOST)
        tracked.append(result.status == Status.TRACKED)
        visible.append(box is not None)
    return event(np.array(overlap), np.array(lost), np.array(tracked), np.array(visible))


def event(
    overlap: NDArray[np.float64], lost: NDArray[np.bool_], tracked: NDArray[np.bool_], visible: NDArray[np.bool_]
) -> tuple[float, bool, float]:
    """See `judged`. All arrays have an entry per frame."""
    hidden = np.flatnonzero(~visible)
    back = hidden[-1] + 1 if len(hidden) else VISIBLE
    on = np.flatnonzero((overlap > SUCCESS_OVERLAP)[back : back + WITHIN] & ~lost[back : back + WITHIN])
    wrong = bool(tracked[back + WITHIN] and overlap[back + WITHIN] < FAILED_OVERLAP)
    return float(on[0]) if len(on) else np.inf, wrong, float(lost[hidden[SETTLED:]].mean()) if len(hidden) else np.nan


def blurred(image: Image) -> Image:
    """The image with the blur of a lens."""
    return cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.uint8, copy=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=40, help="clips of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--model")
    parser.add_argument("--preset")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a constant of the tracker")
    chosen = parser.parse_args()
    photos = sorted(file for file in chosen.photos.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    changes = {name: json.loads(value) for name, value in (each.split("=") for each in chosen.set)}
    tracker = Tracker(chosen.model, "cpu", preset=chosen.preset, config=changes or None)
    for kind in chosen.kinds:
        found = [judged(tracker, kind, seed, photos) for seed in range(chosen.first, chosen.first + chosen.count)]
        delays, wrong, lost = (np.array(each) for each in zip(*found, strict=True))
        known = np.sort(delays[np.isfinite(delays)])
        most = np.percentile(delays, 90, method="inverted_cdf")
        print(
            f"{kind}: reacquired {np.isfinite(delays).mean():.2f}, delay {np.median(known):.0f}, mean "
            f"{known.mean():.2f}, 90 % {most:.0f}, wrong {wrong.mean():.2f}, "
            f"lost {lost.mean():.2f} ({len(found)} clips)",
            flush=True,
        )


if __name__ == "__main__":
    main()
