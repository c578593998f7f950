"""What a training run is: every setting once, with its reason. It travels inside the checkpoint.

Named recipes are files in recipes/ that hold what differs from the defaults.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError
from dcfnet.settings import Rule, Settings, number, one_of, whole

from dcfnet_train.backbone import ARCHITECTURES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Recipe(Settings):
    """Settings of one run. Raises ConfigError listing every value that is out of range."""

    architecture: str = "released"  # a name of ARCHITECTURES
    objective: str = "tracking"  # what is learnt: eq. 4, or "denoising", which tracking is compared with
    noise: float = 25.0  # std of the noise that denoising takes off, grey levels
    patch_size: int = 126  # px, side of both patches before the convolutions take their margin; 108: 0.6 of the time
    stride: int = 2  # px of the patch per feature, a mean before the normalisation: as it is deployed
    padding: float = 2.0  # patch = target x (1 + padding), as the tracker crops it
    squareness: float = 0.5  # of the region that a patch is cut from, as the tracker cuts it; 0 has the target's shape
    label_sigma: float = 0.1  # std of the Gaussian label, share of the target's side in the patch
    regularisation: float = 1e-4  # lambda of the unnormalised transform, the tracker's own
    window: bool = True  # features look through the tracker's cosine window; the paper's do not in training
    displacement: float = 0.3  # the search patch lies up to this share of the target's side beside it, on each axis
    max_gap: int = 10  # frames between the two patches of a pair, at most (section 4.1)
    synthetic: float = 0.3  # share of pairs rendered from photographs instead of cut from videos
    augment: bool = True  # mirror, lose colour, change light and blur; the paper does none of it
    steps: int = 4000  # optimiser steps
    batch: int = 16  # pairs a step (section 4.1)
    micro_batch: int = 4  # pairs that go through the network at once: same gradient, a quarter of the memory traffic
    optimiser: str = "adam"
    train_lr: float = 2e-3  # the highest learning rate
    final_lr: float = 1e-5  # the last one, where the schedule falls
    schedule: str = "onecycle"
    momentum: float = 0.9  # of SGD (section 4.1)
    weight_decay: float = 5e-4  # gamma of eq. 4 (section 4.1); decoupled from the gradient under adam
    ema: float = 0.0  # share of the past in the running mean of the weights, which is then what is deployed; 0: none
    validate_every: int = 500  # steps between two validations, where there is footage for it
    precision: str = "float32"  # of the convolutions; the transforms and the filter are float32 in any case
    seed: int = 0

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        return {
            "architecture": one_of(*ARCHITECTURES),
            "objective": one_of("tracking", "denoising"),
            "noise": number(above=0, high=255),
            "patch_size": whole(32, 512),
            "stride": whole(1, 4),
            "padding": number(above=0, high=10),
            "squareness": number(0, 1),
            "label_sigma": number(above=0, high=1),
            "regularisation": number(above=0),
            "window": (lambda v: isinstance(v, bool), "true or false"),
            "displacement": number(0, 1),
            "max_gap": whole(1, 1000),
            "synthetic": number(0, 1),
            "augment": (lambda v: isinstance(v, bool), "true or false"),
            "steps": whole(1, 10**8),
            "batch": whole(1, 4096),
            "micro_batch": whole(1, 4096),
            "optimiser": one_of("adam", "sgd"),
            "train_lr": number(above=0),
            "final_lr": number(above=0),
            "schedule": one_of("constant", "log", "onecycle"),
            "momentum": number(0, 1),
            "weight_decay": number(0),
            "ema": number(0, 0.99999),
            "validate_every": whole(1, 10**8),
            "precision": one_of("float32", "bfloat16"),
            "seed": whole(0, 2**31 - 1),
        }

    def tracker_config(self, stride: int = 1) -> TrackerConfig:
        """The default tracker, with the constants that the network was trained under, for features of `stride`."""
        return TrackerConfig.named("default").replace(
            patch_size=-(-self.patch_size // stride) * stride,
            padding=self.padding,
            squareness=self.squareness,
            label_sigma=self.label_sigma,
            regularisation=self.regularisation,
        )

    @classmethod
    def load(cls, name: str) -> Recipe:
        """A recipe of RECIPES by its name, or of a TOML file by its path; settings that it does not give are defaults.

        Raises ConfigError for another name, a file that is no TOML, and settings that are unknown or out of range.
        """
        file = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
        if file.parent == FOLDER and name not in RECIPES:
            raise ConfigError(f"no recipe {name!r}; there are {', '.join(RECIPES)}, or give the path of a .toml file")
        try:
            return cls.from_mapping(tomllib.loads(file.read_text("utf-8")))
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error
        except (OSError, ValueError) as error:  # what cannot be read, and what is no text or no TOML
            raise ConfigError(f"{file}: cannot be read ({error})") from error


FOLDER = Path(__file__).parent / "recipes"
RECIPES = sorted(file.stem for file in FOLDER.glob("*.toml"))
