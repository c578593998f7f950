"""Exports a deep checkpoint as an ONNX model: one map with all levels, and metadata for the filter of each level."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from dcfnet.config import DEFAULT_PRESET, TrackerConfig
from dcfnet.errors import ConfigError
from dcfnet.io.files import read_json
from dcfnet.model.confidence import Confidence
from dcfnet.model.file import CONFIDENCE_KEY, LEVELS_KEY, WEIGHTS_KEY, Model, parse_model
from dcfnet_train.deep.backbone import COARSEST_STRIDE, DEEP
from dcfnet_train.deep.checkpoint import DeepCheckpoint
from dcfnet_train.deep.levels import LEVEL_FILTERS

from dcfnet_export.graph import check_parity, metadata, remove_notes, trace

REGULARISATION = 2.0  # lambda of eq. 2 for the features of these networks
MARGIN = 4  # px of the patch on each side: one map then gives all scales
# For occluded and lost targets (docs/tuning.md). The likeness of these networks shows whether a target is covered.
MIN_STRENGTH, REDETECTION_PATCHES = 0.12, 8
TEMPLATE_TURN, ROTATION_STEP = 8.0, 10.0  # degrees (docs/tuning.md)
# Presets of these networks. Each patch side is a multiple of the coarsest stride.
PRESETS: dict[str, dict[str, Any]] = {
    "accurate": {"update_interval": 1},
    DEFAULT_PRESET: {"update_interval": 2},
    "fast": {
        "update_interval": 4,
        "patch_size": 88,
        "solver_steps": 2,
        "redetection_patches": 4,
        "template_turn": 0.0,
        "rotation_step": 0.0,
    },
}


@dataclass(frozen=True)
class ConfidenceFit:
    """The fit in a file of dcfnet-calibrate confidence. weights_sha256: of the model that it was fitted for."""

    name: str
    confidence: Confidence
    weights_sha256: str

    @classmethod
    def read(cls, file: Path) -> ConfidenceFit:
        """Raises ConfigError for another file."""
        try:
            content = read_json(file)
            confidence = Confidence.parse({name: content[name] for name in ("bias", "weights")})
            return cls(str(file), confidence, str(content["weights_sha256"]))
        except FileNotFoundError as error:
            raise ConfigError(f"{file}: no such file; create it with dcfnet-calibrate confidence") from error
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                f"{file}: not a file of dcfnet-calibrate confidence ({error!r}); make one with that command"
            ) from error

    def check_model(self, weights_sha256: str) -> None:
        """Raises ConfigError if the fit is of other weights than those with this hash."""
        if self.weights_sha256 != weights_sha256:
            raise ConfigError(
                f"{self.name}: fitted for weights {self.weights_sha256:.12}, the checkpoint has {weights_sha256:.12}: "
                "fit it for this checkpoint with dcfnet-calibrate confidence, or export without --confidence"
            )


def deep_config(patch_size: int) -> TrackerConfig:
    """The constants of the tracker for a network that was trained on patches of this size."""
    return TrackerConfig(
        patch_size=patch_size + 2 * MARGIN,
        margin=MARGIN,
        regularisation=REGULARISATION,
        min_strength=MIN_STRENGTH,
        redetection_patches=REDETECTION_PATCHES,
        template_turn=TEMPLATE_TURN,
        rotation_step=ROTATION_STEP,
    )


def make_deep(checkpoint: DeepCheckpoint, config: TrackerConfig, name: str, fit: ConfidenceFit | None = None) -> Model:
    """The checkpoint as an ONNX model with metadata. The result is compared with torch. name: shown in messages.

    Input "patches" float32 (batch, 3, S, S), S a multiple of the coarsest stride; output "features" float32
    (batch, C, S / stride, S / stride). Raises ParityError. Raises ConfigError if the fit is
    of other weights, or if constants do not fit the network.
    """
    backbone, architecture = checkpoint.backbone(), DEEP[checkpoint.architecture]
    if config.patch_size % COARSEST_STRIDE:
        raise ConfigError(
            f"patch_size={config.patch_size}: must be a multiple of {COARSEST_STRIDE}, the coarsest stride of the model"
        )
    properties = metadata(checkpoint.weights, config, PRESETS, architecture.stride)
    if fit is not None:
        fit.check_model(properties[WEIGHTS_KEY])
        properties[CONFIDENCE_KEY] = json.dumps(fit.confidence.to_mapping())
    # The exporter makes many nodes of the enlargement if the sides are dynamic. With fixed sides it makes one node with
    # a factor, which works for any side. So the sides are made dynamic afterwards.
    proto = trace(backbone, config.patch_size, dynamic=(0,))
    remove_notes(proto)
    for end in (proto.graph.input[0], proto.graph.output[0]):
        for axis, side in ((0, "batch"), (2, f"{end.name}_height"), (3, f"{end.name}_width")):
            end.type.tensor_type.shape.dim[axis].dim_param = side
    levels = [vars(level) for level in LEVEL_FILTERS[checkpoint.architecture]]
    properties[LEVELS_KEY] = json.dumps(levels)
    onnx.helper.set_model_props(proto, properties)
    onnx.checker.check_model(proto, full_check=True)
    model = parse_model(proto.SerializeToString(), name)
    check_parity(model, backbone)
    return model
