"""All constants of the tracker, with unit and reason. These are defaults: the values in a model file replace them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dcfnet.config.settings import Rule, Settings, flag, number, one_of, whole
from dcfnet.errors import ConfigError

NEVER = 100.0  # target sizes: for second_pass_distance; larger than any search region
MIN_TARGET_SIDE = 3.0  # px: a smaller target has too little texture to track


@dataclass(frozen=True)
class TrackerConfig(Settings):
    """The constants of a tracker. Each comment below gives the unit; ratios have none.

    Presets and named constants (`TrackerConfig.named`) change these defaults; docs/tuning.md says how they were chosen.
    Raises ConfigError that lists all values out of range.
    """

    patch_size: int = 126  # px, side of the square patch: the paper's 125, made a multiple of the model's stride
    margin: int = (
        0  # px of the patch on each side, around the search region; above 0, all scales are read from one patch
    )
    padding: float = 2.0  # search region = target size x (1 + padding); it limits how far a target can move in a frame
    squareness: float = 0.5  # shape of the search region: 0 is the target's, 1 is a square of the same area
    label_sigma: float = 0.1  # standard deviation of the Gaussian label, share of the target's side in the patch
    regularisation: float = 1e-4  # lambda of eq. 2, added to energies of the unnormalised transform (see filter/dcf.py)
    background_penalty: float = 1.0  # gamma of filter/spatial_penalty.py, share of the mean energy; 0 is eq. 2 alone
    filter_extent: float = 1.5  # target sizes: filter values inside this box have almost no penalty
    solver_steps: int = 1  # steps of conjugate gradients per update; each update starts from the previous filter
    temporal_penalty: float = 20.0  # mu of filter/spatial_penalty.py per frame, share of mean energy: cost of changes
    colour_share: float = 0.3  # weight of the colours in the position map; 0: the filter alone
    colour_rate: float = 0.04  # beta of eq. 13 for the colour histograms, per frame: colours change faster than shape
    transform: str = "matrices"  # of maps to spectra: "matrices", or "fft"; the same frequencies (filter/transform.py)
    band: float = 4.0  # standard deviations of the label's spectrum that are kept; beyond it is below e^-8 of its peak
    template_turn: float = 0.0  # degrees: the first filter also learns patches turned by it to both sides; 0: off
    learning_rate: float = 0.01  # beta of eq. 13, per frame: weight of the newest frame in the filter
    update_interval: int = 1  # frames from one update of the filter to the next; the rate per update is raised to match
    scales: int = 3  # sizes in the scale pyramid; odd, so that the middle scale is exactly 1
    scale_step: float = 1.0275  # ratio of neighbouring scales
    scale_penalty: float = 0.9925  # the peak of a scale k steps from the middle one is multiplied by scale_penalty^k
    second_pass_distance: float = 0.25  # target sizes: after a larger move, the tracker searches again from there
    redetection_rings: int = 3  # rings of places around the last confident position, for redetection; 0: off
    redetection_patches: int = 1  # places searched per frame of a lost target: one on the rings, the others anywhere
    redetection_ms: float = 0.0  # longest time for these places, per frame; 0: no limit, and repeatable boxes
    camera_motion: bool = False  # whether it also searches at the position that moved with the scene, for strong shake
    rotation_step: float = 0.0  # degrees: after a weak peak it also searches with patches turned by it; 0: off
    min_scale: float = 0.2  # smallest size / initial or corrected size: below it, the scale search has failed
    max_scale: float = 5.0  # largest size / initial or corrected size
    min_psr: float = 5.0  # PSR below which a target is lost: its box stays, and its filter is not updated
    min_likeness: float = 0.12  # share of the typical PSR x peak below which a target is lost: it shows something else
    min_strength: float = 0.0  # share of the typical PSR x peak x likeness below which a target is occluded; 0: off
    lost_after: int = 5  # frames after which a target that is occluded, or below `lost_confidence`, is lost
    confident_psr: float = 7.0  # PSR below which a target is uncertain: the box follows the peak, the status says so
    min_confidence: float = 0.5  # confidence below which a target is uncertain, if the model has a fit for it
    lost_confidence: float = 0.4  # confidence below which a target is lost after `lost_after` frames; 0: never

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        return {
            "patch_size": whole(16, 1024),
            "margin": whole(0, 512),
            "padding": number(above=0, high=10),
            "squareness": number(0, 1),
            "label_sigma": number(above=0, high=1),
            "regularisation": number(above=0),
            "background_penalty": number(0),
            "filter_extent": number(above=0, high=10),
            "solver_steps": whole(1, 100),
            "temporal_penalty": number(0),
            "colour_share": number(0, 1),
            "colour_rate": number(0, 1),
            "transform": one_of("matrices", "fft"),
            "band": number(1, 20),
            "template_turn": number(0, 45),
            "learning_rate": number(0, 1),
            "update_interval": whole(1, 100),
            "scales": whole(1, 15, odd=True),
            "scale_step": number(above=1, high=2),
            "scale_penalty": number(above=0, high=1),
            "second_pass_distance": number(0),
            "redetection_rings": whole(0, 100),
            "redetection_patches": whole(1, 100),
            "redetection_ms": number(0),
            "camera_motion": flag(),
            "rotation_step": number(0, 45),
            "min_scale": number(above=0, high=1),
            "max_scale": number(1),
            "min_psr": number(0),
            "min_likeness": number(0, 1),
            "min_strength": number(0, 1),
            "lost_after": whole(0, 1000),
            "confident_psr": number(0),
            "min_confidence": number(0, 1),
            "lost_confidence": number(0, 1),
        }

    @classmethod
    def named(cls, name: str) -> TrackerConfig:
        """Named constants: "paper", "released" (the authors' later code) or "default". Raises ConfigError."""
        if name not in CONSTANTS:
            raise ConfigError(f"config={name!r}: must be one of {', '.join(CONSTANTS)}")
        return CONSTANTS[name]

    def search_side(self) -> int:
        """Side of the search region in the patch, px: the patch without its margin."""
        return self.patch_size - 2 * self.margin

    def target_side(self) -> float:
        """Side of the target in the patch, px: the side of the search region / (1 + padding)."""
        return self.search_side() / (1 + self.padding)

    def label_sigma_in_patch(self) -> float:
        """Standard deviation of the Gaussian label, patch px."""
        return self.label_sigma * self.target_side()

    def filter_reach_in_patch(self) -> float:
        """Half the side of the box in which filter values have almost no penalty, patch px."""
        return self.filter_extent * self.target_side() / 2

    def template_turns(self) -> tuple[float, ...]:
        """Angles of the patches that the first filter learns, radians; the middle one is 0."""
        turn = math.radians(self.template_turn)
        return (-turn, 0.0, turn) if turn else (0.0,)

    def searches_whole_frame(self) -> bool:
        """Whether targets are searched for in the whole frame: after a camera cut, and if they are doubtful.

        Only with `min_strength`: two filters must agree on a target far from its last position (tracking/redetection).
        """
        return bool(self.min_strength and self.redetection_rings and self.redetection_patches > 1)

    def scale_limits(self) -> tuple[float, float]:
        """Smallest and largest size / initial size."""
        return self.min_scale, self.max_scale

    def rate_per_update(self) -> float:
        """Learning rate of one update: it forgets as much as `update_interval` frames at `learning_rate`."""
        return 1 - float((1 - self.learning_rate) ** self.update_interval)

    def colour_rate_per_update(self) -> float:
        """Learning rate of one update of the colours; see `rate_per_update`."""
        return 1 - float((1 - self.colour_rate) ** self.update_interval)

    def temporal_penalty_per_update(self) -> float:
        """Temporal penalty of one update: with rarer updates, each may change the filter more."""
        return self.temporal_penalty / self.update_interval


# The paper and the authors' code update the filter in every frame. They have no thresholds for lost targets, no
# background penalty, no second search pass, no redetection and no colours.
UNGATED: dict[str, Any] = {
    "min_psr": 0.0,
    "background_penalty": 0.0,
    "second_pass_distance": NEVER,
    "redetection_rings": 0,
    "min_likeness": 0.0,
    "squareness": 0.0,
    "colour_share": 0.0,
}
CONSTANTS: dict[str, TrackerConfig] = {
    # Section 4.1 of the paper. It gives no scale penalty, no size limits and no threshold for lost targets.
    "paper": TrackerConfig(padding=1.5, learning_rate=0.008, scale_step=1.0375, scale_penalty=1.0, **UNGATED),
    # The authors' later code (DCFNet 2.0 and its PyTorch port). It also updates the filter in every frame.
    "released": TrackerConfig(padding=2.0, learning_rate=0.01, scale_step=1.0275, scale_penalty=0.9925, **UNGATED),
    # The best constants on the tuning sequences (docs/tuning.md), based on the later code.
    "default": TrackerConfig(),
}

# Operating points between accuracy and speed, as changes of the constants. A model file contains its own presets.
# Each is on the measured Pareto front (docs/speed.md).
DEFAULT_PRESET = "balanced"
PRESETS: dict[str, dict[str, Any]] = {
    # As in the paper: an update in every frame, and four patches per frame through the network.
    "accurate": {"patch_size": 108, "solver_steps": 2},
    "balanced": {"patch_size": 108, "update_interval": 2},
    "fast": {"patch_size": 80, "update_interval": 4, "solver_steps": 2},  # rare updates need more solver steps
}
