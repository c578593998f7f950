"""The backbone seam: a callable from patches to features, and the choice of the engine that runs it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from dcfnet.backend import Array
from dcfnet.errors import ConfigError, DeviceError, ModelError
from dcfnet.model import Model

HOST_ENGINES = ("onnxruntime", "opencv")  # what device="auto" is the CPU for
ENGINES = ("auto", *HOST_ENGINES, "tensorrt", "native")


class Backbone(Protocol):
    """Patches -> features, the same array type in and out.

    One that has `takes`, a type of NumPy's, would rather have patches of that: float16 holds the same numbers.
    One whose `capturable` is true does nothing but queue kernels, on the current stream, the same ones for the same
    number of patches, and is not harmed by other use: what it does can be part of a CUDA graph. One that has `own`
    gives by it what does the same for one program alone (`Own` of recording.py). Others are called between two graphs.
    """

    def __call__(self, patches: Array) -> Array:
        """Patches (B, 3, S, S), BGR, mean taken off, float32 or of type `takes` -> features float32 (B, C, H, W)."""


def taken_by(backbone: Backbone) -> DTypeLike:
    """The type of patches that it would rather have."""
    taken: DTypeLike = getattr(backbone, "takes", np.float32)
    return taken


def open_backbone(model: Model, engine: str = "auto", side: int | None = None, device: str = "cpu") -> Backbone:
    """The model's graph, ready to run.

    engine: "onnxruntime" (the faster one, an extra; on a GPU its CUDA provider), "opencv" (always there, on a CPU),
    "tensorrt" (what a .engine file is for), "native" (kernels of our own, on a GPU), or "auto": TensorRT for an engine;
    else native where the arrays are on the GPU, the first of the others that is installed where they are not.
    side: of the patches it will be given, px; None is that of the model's config. device: where these lie, the name of
    a backend.
    Raises ConfigError for another name, and for a side that the file is not for, MissingDependencyError for an engine
    that is not installed, ModelError for a graph that the engine does not take, and as `TrtBackbone`.
    """
    if engine not in ENGINES:
        raise ConfigError(f"no engine {engine!r}; there are {', '.join(ENGINES)}")
    if engine == "opencv" and device == "cuda":
        raise ConfigError("engine 'opencv' runs on the CPU; with device='cuda' there are tensorrt, native, onnxruntime")
    if "window" in model.folded and side not in (None, model.config.patch_size):
        raise ConfigError(
            f"patch_size={side}: {model.name} holds the window of {model.config.patch_size} px, and takes no other"
        )
    if engine == "tensorrt" or (engine == "auto" and model.engine is not None):
        from dcfnet.backbones.trt import TrtBackbone

        side = side or model.config.patch_size
        return _probed(TrtBackbone(model, side), model, side)
    if engine == "native" or (engine == "auto" and device == "cuda"):
        from dcfnet.backbones.native import NativeBackbone

        return _probed(NativeBackbone(model), model, side or model.config.patch_size)
    if engine == "onnxruntime" and device == "cuda":
        from dcfnet.backbones.ort import OrtCudaBackbone

        return _probed(OrtCudaBackbone(model), model, side or model.config.patch_size)
    if engine == "onnxruntime" or (engine == "auto" and find_spec("onnxruntime")):
        from dcfnet.backbones.ort import OrtBackbone

        return _probed(OrtBackbone(model), model, side or model.config.patch_size)
    from dcfnet.backbones.cvdnn import CvDnnBackbone

    return _probed(CvDnnBackbone(model), model, side or model.config.patch_size)


def _probed(backbone: Backbone, model: Model, side: int) -> Backbone:
    """The backbone, once it has taken two patches and given two finite feature maps. Raises ModelError."""
    try:
        features = backbone(np.zeros((2, 3, side, side), dtype=taken_by(backbone)))
    except DeviceError:  # says itself what is the matter: no memory, most likely
        raise
    except Exception as error:  # engines have no exceptions in common
        raise ModelError(f"{model.name}: does not take {side} px patches named 'patches': {error}") from error
    map_side = side // model.stride
    if np.ndim(features) != 4 or len(features) != 2 or features.shape[2:] != (map_side, map_side):
        raise ModelError(
            f"{model.name}: gives {np.shape(features)} for two patches, not (2, C, {map_side}, {map_side})"
        )
    if not np.isfinite(features).all():
        raise ModelError(f"{model.name}: gives features that are not finite")
    return backbone
