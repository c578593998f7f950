"""Every constant of the tracker, once, with its unit and its reason. The config travels inside the model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dcfnet.errors import ConfigError
from dcfnet.settings import Rule, Settings, number, whole

NEVER = 100.0  # target sizes: no search region reaches as far
MIN_TARGET_SIDE = 3.0  # px: a smaller target has no texture left to follow


@dataclass(frozen=True)
class TrackerConfig(Settings):
    """Constants of one tracker. Lengths are pixels of the patch unless said; ratios have no unit.

    Raises ConfigError listing every value that is out of range.
    """

    patch_size: int = 126  # px, side of the square patch: the paper's 125, made a multiple of the model's stride
    padding: float = 2.0  # search region = target x (1 + padding): how far the target may leap in a frame
    squareness: float = 0.5  # of the search region: 0 has the target's shape, 1 is a square of the same area
    label_sigma: float = 0.1  # std of the Gaussian label, as a share of the target's side in the patch
    regularisation: float = 1e-4  # lambda of eq. 2, added to energies of the unnormalised transform (see dcf.py)
    background_penalty: float = (
        1.0  # gamma of spatial.py, share of the mean energy; 0 is eq. 2, which learns all it sees
    )
    filter_extent: float = 1.5  # of the place where the filter may look freely, in sizes of the target
    solver_steps: int = 1  # conjugate gradients of a lesson under the penalty; the next lesson goes on from there
    temporal_penalty: float = 20.0  # mu of spatial.py, a frame: how much a filter that changes costs
    colour_share: float = 0.3  # of the colours in the answer to where the target is; 0: the filter alone
    colour_rate: float = 0.04  # beta of eq. 13 for the colours, which change sooner
    band: float = 4.0  # standard deviations of the label's spectrum that are kept: e^-8 of its height is left beyond
    learning_rate: float = 0.01  # beta of eq. 13, weight of the newest frame in the filter
    learn_every: int = 1  # frames between two lessons of the filter; the rate is raised to forget as fast
    scales: int = 3  # size of the scale pyramid, odd: the middle scale is exactly 1
    scale_step: float = 1.0275  # ratio between neighbouring scales of the pyramid
    scale_penalty: float = 0.9925  # a scale k steps off the middle has its peak multiplied by penalty^k
    look_again: float = 0.25  # a target found further away than this, in its sizes, is looked for again from there
    search_rings: int = 3  # of places around its last sure one, where a lost target is looked for, one a frame
    min_scale: float = 0.2  # smallest size, as a ratio of the initial one: below it the pyramid has run away
    max_scale: float = 5.0  # largest size, as a ratio of the initial one
    min_psr: float = 5.0  # peak-to-sidelobe ratio under which it is lost: the box waits, nothing is learnt
    min_likeness: float = 0.12  # share of its usual ratio times peak under which it is lost: something else is there
    sure_psr: float = 7.0  # under which it is uncertain: the box follows, and the answer says so

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        return {
            "patch_size": whole(16, 1024),
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
            "band": number(1, 20),
            "learning_rate": number(0, 1),
            "learn_every": whole(1, 100),
            "scales": whole(1, 15, odd=True),
            "scale_step": number(above=1, high=2),
            "scale_penalty": number(above=0, high=1),
            "look_again": number(0),
            "search_rings": whole(0, 100),
            "min_scale": number(above=0, high=1),
            "max_scale": number(1),
            "min_psr": number(0),
            "min_likeness": number(0, 1),
            "sure_psr": number(0),
        }

    @classmethod
    def named(cls, name: str) -> TrackerConfig:
        """Constants by name: "paper", "released" (the authors' later code) or "default". Raises ConfigError."""
        if name not in CONSTANTS:
            raise ConfigError(f"no constants {name!r}; there are {', '.join(CONSTANTS)}")
        return CONSTANTS[name]

    def target_side(self) -> float:
        """Side of the target inside the patch, px: the search region is (1 + padding) times as large."""
        return self.patch_size / (1 + self.padding)

    def label_sigma_in_patch(self) -> float:
        """Standard deviation of the Gaussian label, px of the patch."""
        return self.label_sigma * self.target_side()

    def filter_reach_in_patch(self) -> float:
        """Half the side of the place where the filter looks freely, px of the patch."""
        return self.filter_extent * self.target_side() / 2

    def scale_limits(self) -> tuple[float, float]:
        """Smallest and largest size, as ratios of the initial one."""
        return self.min_scale, self.max_scale

    def lesson_rate(self) -> float:
        """Learning rate of one lesson: `learn_every` frames at `learning_rate` forget as much."""
        return 1 - float((1 - self.learning_rate) ** self.learn_every)

    def lesson_colour_rate(self) -> float:
        """Learning rate of one lesson of the colours, likewise."""
        return 1 - float((1 - self.colour_rate) ** self.learn_every)

    def lesson_penalty(self) -> float:
        """Temporal penalty of one lesson: where they are rarer each may change more."""
        return self.temporal_penalty / self.learn_every


# The paper and its authors learn whatever they see, whatever happens.
UNGATED: dict[str, Any] = {
    "min_psr": 0.0,
    "background_penalty": 0.0,
    "look_again": NEVER,
    "search_rings": 0,
    "min_likeness": 0.0,
    "squareness": 0.0,
    "colour_share": 0.0,
}
CONSTANTS: dict[str, TrackerConfig] = {
    # Section 4.1 of the paper. It gives no penalty on scale changes, no size limits and no gate.
    "paper": TrackerConfig(padding=1.5, learning_rate=0.008, scale_step=1.0375, scale_penalty=1.0, **UNGATED),
    # The authors' later code (DCFNet 2.0 and its PyTorch port). It learns whatever happens.
    "released": TrackerConfig(padding=2.0, learning_rate=0.01, scale_step=1.0275, scale_penalty=0.9925, **UNGATED),
    # What tracked best on the training sequences (docs/tuning.md): the later constants, and a gate.
    "default": TrackerConfig(),
}

# Operating points of speed against accuracy, as changes of the constants; a model file carries its own. Each lies on
# the measured front (docs/speed.md).
DEFAULT_PRESET = "balanced"  # where none is asked for
PRESETS: dict[str, dict[str, Any]] = {
    # The paper's form: a lesson in every frame, four patches through the network.
    "accurate": {"patch_size": 108, "solver_steps": 2},
    "balanced": {"patch_size": 108, "learn_every": 2},
    "fast": {"patch_size": 80, "learn_every": 4, "solver_steps": 2},  # rarer lessons: each must lead further
}
