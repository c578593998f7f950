"""The CUDA backend: device memory, uploads, graph capture, and slots that keep filters on the GPU.

`device.py` is the only importer of CuPy. Only `devices.selection`, the GPU backbones and the engine builder import this
room, and they do so on first use.
"""
