"""The CUDA backend: device memory, uploads, graph capture, and slots that keep filters on the GPU.

Only `device.py` imports CuPy. Only `devices.selection`, the GPU backbones and the engine builder import this
subpackage, and they do so on first use.
"""
