"""The settings of a training run of a deep backbone, with comments."""

from __future__ import annotations

from dataclasses import dataclass

from dcfnet.config.settings import Rule, Settings, multiple, number, one_of, whole

from dcfnet_train.deep.backbone import COARSEST_STRIDE, DEEP
from dcfnet_train.recipe import Recipe


@dataclass(frozen=True)
class DeepRecipe(Settings):
    """Settings of one run. Raises ConfigError that lists every value out of range."""

    architecture: str = "deep"  # a name in DEEP
    patch_size: int = 112  # px; a multiple of the coarsest stride
    padding: float = 2.0  # patch = target x (1 + padding), as the tracker crops it
    regularisation: float = 0.02  # lambda of eq. 2, as a share of the template's mean energy
    scale_weight: float = 1.0  # weight of the errors at other scales; 0: the loss knows no scales
    displacement: float = 0.4  # largest offset of the search patch from the target / target size, on each axis
    max_gap: int = 30  # largest number of frames between the two patches of a pair
    synthetic: float = 0.12  # share of the pairs that are rendered from photos
    frozen_blocks: int = 3  # number of pretrained blocks after the stem that are not trained; the stem is not trained
    steps: int = 2400
    batch: int = 16  # pairs per step
    train_lr: float = 3e-3  # highest learning rate of the projections
    stage_lr: float = 5e-4  # highest learning rate of the trained blocks
    final_share: float = 0.02  # last learning rate / highest learning rate
    clip: float = 1.0  # largest norm of the gradient
    weight_decay: float = 1e-4
    ema: float = 0.995  # decay of the running mean of the weights; the mean is deployed
    seed: int = 0

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        return {
            "architecture": one_of(*DEEP),
            "patch_size": multiple(COARSEST_STRIDE, 32, 512),
            "padding": number(above=0, high=10),
            "regularisation": number(above=0),
            "scale_weight": number(0),
            "displacement": number(0, 1),
            "max_gap": whole(1, 1000),
            "synthetic": number(0, 1),
            "frozen_blocks": whole(0, 11),
            "steps": whole(1, 10**8),
            "batch": whole(1, 4096),
            "train_lr": number(above=0),
            "stage_lr": number(0),
            "final_share": number(0, 1),
            "clip": number(above=0),
            "weight_decay": number(0),
            "ema": number(0, 0.99999),
            "seed": whole(0, 2**31 - 1),
        }

    def target_side(self) -> float:
        """Side of the target in the patch, px."""
        return self.patch_size / (1 + self.padding)

    def of_pairs(self) -> Recipe:
        """The settings of the pairs, as a `Recipe`."""
        shared = ("patch_size", "padding", "displacement", "max_gap", "synthetic", "seed")
        return Recipe.from_mapping({name: getattr(self, name) for name in shared})
