"""CUDA kernels (`*.cu`), and the functions that launch them.

Each launcher states which Python function of `dcfnet.filter` or `dcfnet.io` its kernel must agree with.
"""
