"""The mathematics of the correlation filter: equations 1 to 3 and 13, the transform, penalties, colours, peaks.

The functions accept and return arrays. NumPy, CuPy and torch arrays share one formula. This subpackage imports no
other one; those above it may import it.
"""
