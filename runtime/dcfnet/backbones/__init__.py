"""Backbones: patches to features with OpenCV, ONNX Runtime, TensorRT, or kernels of this project.

Use `load_model` (loading.py) to read a model or an engine, and `open_backbone` (selection.py) to run it. This
subpackage imports `engines`, `devices` and `model`; `tracking` and the packages above import it.
"""
