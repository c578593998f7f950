"""One filter per level of the features: each learns as it does alone, and the response is their weighted mean."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from dcfnet.config import TrackerConfig
from dcfnet.devices.cpu import CpuBackend
from dcfnet.errors import ModelError
from dcfnet.filter.spatial_penalty import SpatialPenalty
from dcfnet.filter.transform import label_spectrum
from dcfnet.filter.update import FilterUpdate
from dcfnet.model.file import LEVELS_KEY, FeatureLevel, parse_model
from dcfnet.result import Box
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.steps import init, step
from dcfnet_evaluation.rendered import render_clip
from numpy.testing import assert_allclose
from numpy.typing import NDArray

SIDE, BAND, SIGMAS, SHARES = 20, 6, (1.5, 2.5), (0.25, 0.75)
MEAN = np.array([104, 117, 123], np.float32)


def spectra(rng: np.random.Generator) -> NDArray[np.complex64]:
    shape = (3, 8, 2 * BAND + 1, BAND + 1)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.fixture(params=[False, True], ids=["closed form", "with a penalty"])
def penalty(request: pytest.FixtureRequest) -> SpatialPenalty | None:
    if not request.param:
        return None
    return SpatialPenalty.build(SIDE, BAND, 5.0, 1.0, 2.0, 2, np.ascontiguousarray, operator.matmul)


def test_each_filter_learns_as_it_does_alone(penalty: SpatialPenalty | None, rng: np.random.Generator) -> None:
    first, later = spectra(rng), spectra(rng)
    labels = np.stack([label_spectrum(SIDE, sigma, BAND) for sigma in SIGMAS])[:, None]
    shares = np.array(SHARES, np.float32)[:, None, None, None]
    both = FilterUpdate(labels, 0.1, 0.5, penalty, shares)
    found = both.updated(later, both.initial(first))
    for level, share in enumerate(SHARES):
        alone, channels = FilterUpdate(labels[level, 0], 0.1, 0.5, penalty), slice(4 * level, 4 * level + 4)
        expected = alone.updated(later[:, channels], alone.initial(first[:, channels]))
        assert_allclose(found.filter_f[:, channels], expected.filter_f * share, rtol=1e-4, atol=1e-6)
        assert_allclose(found.numerator[:, level], expected.numerator, rtol=1e-5)
        assert_allclose(found.denominator[:, level], expected.denominator, rtol=1e-5)


def boxes_of(levels: tuple[FeatureLevel, ...]) -> list[Box]:
    """Boxes of a rendered target. The features are the patch, twice: two levels with the same content."""

    def twice(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([patches, patches], axis=1) / 64

    clip, config = render_clip(8, occluder=False), TrackerConfig(patch_size=64)
    pipeline = Pipeline.build(config, CpuBackend(), twice, MEAN, levels=levels)
    state = init(pipeline, [clip.frame(0)], [clip.box(0)], [0])
    boxes = []
    for t in range(1, clip.length):
        state, (result,) = step(pipeline, state, [clip.frame(t)])
        boxes.append(result.box)
        assert result.box.iou(clip.box(t)) > 0.7
    return boxes


def test_a_tracker_with_two_levels_follows_the_target() -> None:
    sigma = TrackerConfig().label_sigma
    equal = boxes_of((FeatureLevel(3, sigma, 1.0), FeatureLevel(3, sigma, 1.0)))
    only_one = boxes_of((FeatureLevel(3, sigma, 1.0), FeatureLevel(3, sigma, 1e-9)))
    for first, second in zip(equal, only_one, strict=True):  # the same content gives the same boxes
        assert_allclose(list(first), list(second), atol=0.1)


@pytest.mark.parametrize(
    "levels",
    [
        [{"channels": 3, "label_sigma": 0.1, "weight": 1}, {"channels": 4, "label_sigma": 0.1, "weight": 1}],
        [{"channels": 3, "label_sigma": 0.0, "weight": 1}],
        [{"channels": 3, "label_sigma": 0.1, "weight": -1}],
        [{"channels": 3, "label_sigma": 0.1, "height": 1}],
        [3],
    ],
)
def test_levels_that_the_tracker_does_not_support_are_refused(levels: list[object]) -> None:
    import json

    import onnx
    from dcfnet.backbones.loading import load_model

    proto = onnx.load_from_string(load_model("dcfnet").onnx)
    onnx.helper.set_model_props(
        proto, {**{entry.key: entry.value for entry in proto.metadata_props}, LEVELS_KEY: json.dumps(levels)}
    )
    with pytest.raises(ModelError, match=r"net\.onnx: unusable metadata|net\.onnx: .*metadata"):
        parse_model(proto.SerializeToString(), "net.onnx")
