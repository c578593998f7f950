"""The setting `template_turn`: the first filter also learns the target turned to both sides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from dcfnet import Box, ConfigError, Tracker
from dcfnet.config import TrackerConfig
from dcfnet.tracking.steps import centred_responses, init
from dcfnet_evaluation.rendered import Image, noise_texture

from tests.conftest import make_raw_pipeline

BOX, OTHER = Box(60.0, 40.0, 41.0, 41.0), Box(20.0, 70.0, 31.0, 25.0)


@pytest.fixture(scope="module")
def frame() -> Image:
    """A scene with smooth texture."""
    rng = np.random.default_rng(5)
    return np.asarray(cv2.resize(noise_texture(rng, 20, 28), (168, 120), interpolation=cv2.INTER_CUBIC))


def turned(frame: Image, angle: float) -> Image:
    """The scene turned around the target, degrees."""
    turn = cv2.getRotationMatrix2D(BOX.centre, angle, 1)
    return np.asarray(cv2.warpAffine(frame, turn, frame.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101))


def peak_at(frame: Image, turn: float, angle: float) -> tuple[float, float]:
    """The highest response in the frame at this angle, and its distance from the place of the target, pixels of R."""
    pipeline = make_raw_pipeline(scales=1, background_penalty=0.0, template_turn=turn)
    state = init(pipeline, {0: frame}, [BOX], [0])
    (response,) = centred_responses(pipeline, state, turned(frame, angle))
    place = np.array(np.unravel_index(int(response.argmax()), response.shape))
    return float(response.max()), float(np.abs(place - np.array(response.shape) / 2).max())


@pytest.mark.parametrize("angle", [-10.0, 10.0])
def test_the_peak_falls_less_if_the_target_turns(frame: Image, angle: float) -> None:
    shares = []
    for turn in (0.0, 10.0):
        (upright, _), (peak, distance) = peak_at(frame, turn, 0.0), peak_at(frame, turn, angle)
        assert upright > peak
        assert distance <= 1
        shares.append(peak / upright)
    assert shares[1] > 1.07 * shares[0]


def test_several_targets_learn_as_each_does_alone(frame: Image) -> None:
    """Each has three patches, of its own frame, and the histogram of the one that is not turned."""
    pipeline = make_raw_pipeline(scales=1, template_turn=10.0)
    frames = {0: frame, 3: frame[::-1].copy()}
    both = init(pipeline, frames, [BOX, OTHER], [0, 3]).filters.arrays.by_name()
    for row, (source, box) in enumerate(((0, BOX), (3, OTHER))):
        alone = init(pipeline, frames, [box], [source]).filters.arrays.by_name()
        for name, values in alone.items():
            np.testing.assert_allclose(both[name][row], values[0], rtol=1e-4, atol=1e-4 * np.abs(values).max())
    plain = make_raw_pipeline(scales=1)
    upright = init(plain, frames, [BOX, OTHER], [0, 3]).filters.arrays.by_name()
    np.testing.assert_array_equal(both["colours"], upright["colours"])
    assert np.abs(both["filter_f"] - upright["filter_f"]).max() > 0.1 * np.abs(upright["filter_f"]).max()


def test_the_default_model_turns_templates_and_the_fast_ones_do_not() -> None:
    assert Tracker(device="cpu").config.template_turn == 8
    for others in (Tracker("dcfnet", device="cpu"), Tracker("deep", device="cpu", preset="fast")):
        assert others.config.template_turn == 0


@pytest.mark.parametrize("turn", [-1.0, 46.0])
def test_an_angle_out_of_range_is_refused(turn: float) -> None:
    with pytest.raises(ConfigError, match=r"template_turn=.*: must be .* 45"):
        TrackerConfig(template_turn=turn)
