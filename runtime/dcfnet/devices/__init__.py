"""Where arrays are stored: the `Backend` protocol, its CPU and CUDA implementations, and the choice between them.

`Backend` imports none of its users. This room imports `filter`, `io` and `model`; every room above may import it.
"""
