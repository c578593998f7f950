"""The settings of a training run, each with its reason. Every checkpoint contains them.

A named recipe is a file in recipes/ with the settings that differ from the defaults.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from dcfnet.config import TrackerConfig
from dcfnet.config.settings import Rule, Settings, flag, number, one_of, whole
from dcfnet.errors import ConfigError
from dcfnet.io.files import read_limited

from dcfnet_train.backbone import ARCHITECTURES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Recipe(Settings):
    """Settings of one run. Raises ConfigError with every value that is out of range."""

    architecture: str = "released"  # a name in ARCHITECTURES
    objective: str = "tracking"  # "tracking" is eq. 4; "denoising" is for comparison
    noise: float = 25.0  # std of the noise that denoising removes, grey levels
    patch_size: int = 126  # px, side of both patches, with the margin of the convolutions; 108 takes 0.6 of the time
    stride: int = 2  # px of the patch per feature: a mean before the normalisation, as in deployment
    padding: float = 2.0  # patch = target size x (1 + padding), as in the tracker
    squareness: float = 0.5  # of the search region, as in the tracker; 0 keeps the aspect ratio of the target
    label_sigma: float = 0.1  # std of the Gaussian label / side of the target in the patch
    regularisation: float = 1e-4  # lambda for the unnormalised transform, as in the tracker
    window: bool = True  # apply the cosine window of the tracker to the features; the paper trains without it
    displacement: float = 0.3  # largest offset of the search patch from the target / target size, on each axis
    max_gap: int = 10  # largest number of frames between the two patches of a pair (section 4.1)
    synthetic: float = 0.3  # share of the pairs that are rendered from photos; the others come from videos
    augment: bool = True  # mirroring, greyscale, light and blur; the paper has no augmentation
    steps: int = 4000  # optimiser steps
    batch: int = 16  # pairs per step (section 4.1)
    micro_batch: int = 4  # pairs per pass of the network: same gradient, a quarter of the memory traffic
    optimiser: str = "adam"
    train_lr: float = 2e-3  # the highest learning rate
    final_lr: float = 1e-5  # the last learning rate of a schedule that falls
    schedule: str = "onecycle"
    momentum: float = 0.9  # for SGD (section 4.1)
    weight_decay: float = 5e-4  # gamma of eq. 4 (section 4.1); adam decouples it from the gradient
    ema: float = 0.0  # decay of the running mean of the weights; if it is above 0, the mean is deployed
    validate_every: int = 500  # steps between two validations, if there are sequences for it
    precision: str = "float32"  # of the convolutions; the transforms and the filter are always float32
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
            "window": flag(),
            "displacement": number(0, 1),
            "max_gap": whole(1, 1000),
            "synthetic": number(0, 1),
            "augment": flag(),
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
        """The default tracker with the constants of this training, for features with `stride`."""
        return TrackerConfig.named("default").replace(
            patch_size=-(-self.patch_size // stride) * stride,
            padding=self.padding,
            squareness=self.squareness,
            label_sigma=self.label_sigma,
            regularisation=self.regularisation,
        )

    @classmethod
    def load(cls, name: str) -> Recipe:
        """The recipe with a name in RECIPES, or in the TOML file at a path. Missing settings have their defaults.

        Raises ConfigError if the name is unknown, if the file is not TOML, or if a setting is unknown or out of range.
        """
        file = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
        if file.parent == FOLDER and name not in RECIPES:
            raise ConfigError(f"recipe={name!r}: must be one of {', '.join(RECIPES)}, or the path of a .toml file")
        try:
            return cls.from_mapping(tomllib.loads(read_limited(file).decode()))
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error
        except FileNotFoundError as error:
            raise ConfigError(
                f"recipe={name!r}: no such file; give another .toml file, or one of {', '.join(RECIPES)}"
            ) from error
        except (OSError, ValueError, RecursionError) as error:  # the file is not readable, not text or not TOML
            raise ConfigError(f"{file}: cannot be read ({error})") from error


FOLDER = Path(__file__).parent / "recipes"
RECIPES = sorted(file.stem for file in FOLDER.glob("*.toml"))
