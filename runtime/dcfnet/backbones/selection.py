"""The choice of the engine that runs a model."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from dcfnet.errors import ConfigError, DeviceError, MissingDependencyError, ModelError
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import Model
from dcfnet.model.layers import unsupported_reason

HOST_ENGINES = ("onnxruntime", "opencv")  # engines for which device="auto" selects the CPU
TENSOR_CORES = "native-fp16"
ENGINES = ("auto", *HOST_ENGINES, "tensorrt", "native", TENSOR_CORES)


def open_backbone(
    model: Model, engine: str = "auto", side: int | None = None, device: str = "cpu", threads: int | None = None
) -> Backbone:
    """The backbone of a model on an engine.

    engine: "onnxruntime" (an extra; on a GPU with its CUDA provider), "opencv" (always installed, CPU only), "tensorrt"
    (for .engine files), "native" (kernels of this project in float32, GPU only), "native-fp16" (the same on tensor
    cores: intermediate maps and weights are rounded to float16, sums are float32) or "auto". "auto" is TensorRT for an
    engine file. For other models on a GPU it is native, or ONNX Runtime if the native kernels do not support the model.
    On a CPU it is ONNX Runtime, the faster engine, if it is installed, else OpenCV.
    side: of the patches, px; None: the patch size of the model's config. device: of the patches, "cpu" or "cuda".
    threads: threads of ONNX Runtime on the CPU, at least 1; None: one per core. Other engines ignore it.
    Raises ConfigError for another name or an unsupported side, MissingDependencyError if the engine is not installed,
    ModelError if the engine cannot run the graph, and as `TrtBackbone`.
    """
    _check(model, engine, side, device)
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads={threads!r}: must be a whole number of at least 1, or None for one per core")
    side = side or model.config.patch_size
    return _probed(_open(model, engine, side, device, threads), model, side)


def _check(model: Model, engine: str, side: int | None, device: str) -> None:
    """Raises ConfigError for arguments that do not fit together."""
    if engine not in ENGINES:
        raise ConfigError(f"engine={engine!r}: must be one of {', '.join(ENGINES)}")
    if engine == "opencv" and device == "cuda":
        raise ConfigError(
            "engine='opencv' runs on the CPU only; with device='cuda' use native, tensorrt or onnxruntime"
        )
    if engine == TENSOR_CORES and device != "cuda":
        raise ConfigError(
            f"engine={engine!r}: runs on the tensor cores of a GPU, but the device is the CPU; use device='cuda', or "
            "engine='onnxruntime'"
        )
    if "window" in model.folded and side not in (None, model.config.patch_size):
        raise ConfigError(
            f"patch_size={side}: {model.name} contains the cosine window of {model.config.patch_size} px; "
            f"use patch_size={model.config.patch_size}, or export the model without --fold window"
        )
    if side is not None and side % model.stride:
        nearest = side // model.stride * model.stride
        raise ConfigError(
            f"patch_size={side}: must be a multiple of the model's stride, {model.stride}, for example {nearest}"
        )


def _open(model: Model, engine: str, side: int, device: str, threads: int | None) -> Backbone:
    """The backbone of the engine. Libraries are imported on first use."""
    if engine == "tensorrt" or (engine == "auto" and model.is_engine):
        from dcfnet.backbones.trt import TrtBackbone

        return TrtBackbone(model, side)
    if engine == "auto" and device == "cuda" and (reason := unsupported_reason(model)):
        return _open_without_kernels(model, reason)
    if engine in ("native", TENSOR_CORES) or (engine == "auto" and device == "cuda"):
        from dcfnet.backbones.native import NativeBackbone

        return NativeBackbone(model, tensor_cores=engine == TENSOR_CORES)
    if engine == "onnxruntime" and device == "cuda":
        from dcfnet.backbones.ort import OrtCudaBackbone

        return OrtCudaBackbone(model)
    if engine == "onnxruntime" or (engine == "auto" and find_spec("onnxruntime")):
        from dcfnet.backbones.ort import OrtBackbone

        return OrtBackbone(model, threads)
    from dcfnet.backbones.cvdnn import CvDnnBackbone

    return CvDnnBackbone(model)


def _open_without_kernels(model: Model, reason: str) -> Backbone:
    """ONNX Runtime on the GPU, for a model that the native kernels do not support. Raises ModelError with remedies."""
    try:
        from dcfnet.backbones.ort import OrtCudaBackbone

        return OrtCudaBackbone(model)
    except (MissingDependencyError, DeviceError) as error:
        cause = str(error) if isinstance(error, DeviceError) else "ONNX Runtime with its CUDA provider is not installed"
        raise ModelError(
            f"{model.name}: the native kernels cannot run this model: {reason}. {cause}. Use model='dcfnet' or another "
            "fp32 model without --fold; or install ONNX Runtime for GPUs with: pip install 'dcfnet[cuda13]'; or use a "
            "TensorRT engine file"
        ) from error


def _probed(backbone: Backbone, model: Model, side: int) -> Backbone:
    """The backbone, after a test with two patches. Raises ModelError if it does not return two finite feature maps."""
    try:
        features = backbone(np.zeros((2, 3, side, side), dtype=backbone.input_dtype))
    except DeviceError:  # its message is sufficient, for example no memory
        raise
    except Exception as error:  # the exceptions of engines have no common base class
        raise ModelError(
            f"{model.name}: cannot run on patches of {side} px with an input named 'patches': {error}"
        ) from error
    map_side = side // model.stride
    if np.ndim(features) != 4 or len(features) != 2 or features.shape[2:] != (map_side, map_side):
        raise ModelError(
            f"{model.name}: returns features of shape {np.shape(features)} for two patches of {side} px, must be "
            f"(2, C, {map_side}, {map_side})"
        )
    channels = sum(level.channels for level in model.levels) or features.shape[1]
    if channels != features.shape[1]:
        raise ModelError(
            f"{model.name}: returns {features.shape[1]} channels, its levels have {channels}; export again"
        )
    if not np.isfinite(features).all():
        raise ModelError(f"{model.name}: returns features that are not finite; its weights may be damaged")
    return backbone
