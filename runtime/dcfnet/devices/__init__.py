"""Where arrays are stored: the `Backend` protocol, its CPU and CUDA implementations, and the choice between them.

No module here imports the code that uses `Backend`. This subpackage imports `filter`, `io` and `model`; those above it
may import it.
"""
