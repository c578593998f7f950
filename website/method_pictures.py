"""Makes the pictures of docs/method.md from rendered clips: python website/method_pictures.py [FOLDER]."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from dcfnet import Box, Result, Tracker
from dcfnet.filter import dcf
from dcfnet.filter.windows import gaussian_label
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.search import search_places
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init_target
from dcfnet_evaluation.rendered import Clip, Image, blob_mask, noise_texture, paste
from dcfnet_evaluation.street import render_street

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

FOLDER = Path(__file__).parents[1] / "docs" / "method"
FIRST, LATER = 60, 74  # frames of the street clip: the template, and a search in a later frame
WALL = (250, 400)  # px, columns that the wall covers in the clip of the redetection
ORANGE, BLUE = "#e69f00", "#0072b2"


def row(titles: list[str], width: float = 10, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A row of pictures without axes."""
    figure, grid = plt.subplots(1, len(titles), figsize=(width, height), layout="constrained", squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    return figure, list(grid[0])


def rectangle(axes: Axes, box: Box, colour: str, style: str = "-") -> None:
    """Draws a box."""
    axes.add_patch(Rectangle(box[:2], *box.size, fill=False, edgecolor=colour, linestyle=style, linewidth=2))


def visible(patch: Any, mean: Any) -> Image:
    """A patch (3, S, S), BGR without the mean, as a picture (S, S, 3), RGB."""
    return (patch + mean[:, None, None]).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)[..., ::-1]


def patch_of(pipeline: Pipeline, state: TrackState, frame: Image) -> Any:
    """The search patch of scale 1, float32 (3, S, S)."""
    frames = [pipeline.backend.frame(frame)]
    places = search_places(pipeline, state, frames, pipeline.search_regions(state.size))
    return pipeline.backend.sample_patches(places, pipeline.config.patch_size, pipeline.mean)[len(pipeline.scales) // 2]


def draw_search(pipeline: Pipeline, state: TrackState, clip: Clip) -> Figure:
    """The frame with target box and search region, and the search patch."""
    figure, (left, right) = row(["frame: target box and search region", "search patch"], height=3.4)
    frame = clip.frame(LATER)
    left.imshow(frame[..., ::-1])
    rectangle(left, state.boxes()[0], ORANGE)
    rectangle(left, Box.of(state.centre[0], pipeline.search_regions(state.size)[0]), BLUE, "--")
    right.imshow(visible(patch_of(pipeline, state, frame), pipeline.mean))
    return figure


def draw_features(pipeline: Pipeline, state: TrackState, clip: Clip) -> Figure:
    """The six feature maps that vary most, before the cosine window."""
    features = pipeline.backbone(patch_of(pipeline, state, clip.frame(FIRST))[None])[0]
    figure, axes = row(["patch", *(f"feature {k + 1} of 6" for k in range(6))], height=1.9)
    axes[0].imshow(visible(patch_of(pipeline, state, clip.frame(FIRST)), pipeline.mean))
    for each, channel in zip(axes[1:], np.argsort(-features.var(axis=(1, 2)))[:6], strict=True):
        each.imshow(features[channel], cmap="gray")
    return figure


def draw_filter(pipeline: Pipeline, state: TrackState) -> Figure:
    """The label, and where the energy of each filter is in the search region."""
    filters = state.filters.arrays
    closed_form = dcf.solve(filters.numerator, filters.denominator, pipeline.config.regularisation)
    side = pipeline.config.patch_size
    label = np.fft.fftshift(gaussian_label(side, side, pipeline.config.label_sigma_in_patch()))
    figure, axes = row(
        ["label (peak moved to the middle)", "filter of eq. 2", "focused filter", "mean of both, in use"]
    )
    axes[0].imshow(label)
    for each, spectrum in zip(axes[1:], (closed_form, filters.focused_f, filters.filter_f), strict=True):
        each.imshow(np.sqrt((pipeline.transform.inverse(spectrum)[0] ** 2).sum(axis=0)))
        share = 64 / (1 + pipeline.config.padding)
        rectangle(each, Box.of((31.5, 31.5), (share, share)), ORANGE)
    return figure


def draw_response(pipeline: Pipeline, state: TrackState, clip: Clip) -> Figure:
    """The maps of a search in a later frame; the middle is the old position."""
    frame = clip.frame(LATER)
    places = search_places(pipeline, state, [pipeline.backend.frame(frame)], pipeline.search_regions(state.size))
    maps, position_maps, _ = (array[0] for array in pipeline.responses(places, state.filters.arrays))
    middle, share = len(maps) // 2, pipeline.config.colour_share
    colours = (position_maps[middle] - (1 - share) * maps[middle]) / share
    figure, axes = row(["search patch", "response of the filter", "response of the colours", "position map"])
    axes[0].imshow(visible(patch_of(pipeline, state, frame), pipeline.mean))
    for each, values in zip(axes[1:], (maps[middle], colours, position_maps[middle]), strict=True):
        each.imshow(np.fft.fftshift(values))
        each.plot(32, 32, "+", color=ORANGE, markersize=12, markeredgewidth=2)
    return figure


def passing_clip(length: int = 100) -> Clip:
    """A target that passes behind a wall: it is completely hidden for about 30 frames."""
    rng = np.random.default_rng(3)
    scene, wall = noise_texture(rng, 240, 640), noise_texture(rng, 240, WALL[1] - WALL[0], contrast=25)
    texture, mask = noise_texture(rng, 44, 36, contrast=90), blob_mask(rng, 44, 36, waviness=0.0)

    def box(t: int) -> Box:
        return Box.of((130 + 3.7 * t, 120 + 12 * np.sin(t / 15)), (36, 44))

    def frame(t: int) -> Image:
        image = scene.copy()
        paste(image, texture, mask, box(t))
        image[:, WALL[0] : WALL[1]] = wall
        return image

    return Clip(length, frame, box)


def draw_redetection() -> Figure:
    """Three frames before, during and after the target is hidden, and the confidence of all frames."""
    clip, tracker = passing_clip(), Tracker("deep")
    tracker.init(clip.frame(0), clip.box(0))
    results = [tracker.update(clip.frame(t)) for t in range(1, clip.length)]
    found = next(t for t, each in enumerate(results, start=1) if each.reason == "redetected")
    hidden = next(t for t, each in enumerate(results, start=1) if each.status == "lost")
    figure = plt.figure(figsize=(10, 4.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.1, 1])
    for axes, t in zip(top.subplots(1, 3), (20, hidden, found), strict=True):
        axes.imshow(clip.frame(t)[..., ::-1])
        rectangle(axes, results[t - 1].box, BLUE if results[t - 1].status == "lost" else ORANGE)
        axes.set_title(f"frame {t}: {results[t - 1].status} / {results[t - 1].reason}", fontsize=10)
        axes.set_axis_off()
    _draw_confidence(bottom.subplots(), results, found)
    return figure


def _draw_confidence(axes: Axes, results: list[Result], found: int) -> None:
    frames = np.arange(1, len(results) + 1)
    axes.plot(frames, [each.confidence for each in results], color=BLUE)
    lost = [each.status == "lost" for each in results]
    axes.fill_between(frames, 0, 1, where=lost, color="0.85", label="lost")
    axes.axvline(found, color=ORANGE, linestyle="--", label="redetected")
    axes.set(xlabel="frame", ylabel="confidence", ylim=(0, 1.05), xlim=(1, len(results)))
    axes.legend(loc="lower right", fontsize=9)


def save(figure: Figure, file: Path) -> None:
    """Writes the figure as WebP, which needs a fifth of the bytes of a PNG file."""
    figure.savefig(file, dpi=100, pil_kwargs={"quality": 80, "method": 6})
    plt.close(figure)


def pictures() -> dict[str, Callable[[], Figure]]:
    """The functions that draw the pictures, by name."""
    cv2.setNumThreads(1)
    clip, pipeline = render_street(), open_pipeline("dcfnet", "cpu")
    state = init_target(pipeline, clip.frame(FIRST), clip.box(FIRST))
    return {
        "search": lambda: draw_search(pipeline, state, clip),
        "features": lambda: draw_features(pipeline, state, clip),
        "filter": lambda: draw_filter(pipeline, state),
        "response": lambda: draw_response(pipeline, state, clip),
        "redetection": draw_redetection,
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in pictures().items():
        save(draw(), folder / f"{name}.webp")
