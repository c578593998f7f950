"""The precision of an exported model: float32, fp16, int8 or mixed, as a property of the file.

`conversion` makes a file of another precision. `folding` folds the mean and the window into the graph, `half` has
convolutions in 16 bits, `quantise` in int8, and `ranges` reads the ranges of activations. Of the package, this room
imports the names of a graph (`naming`) only.
"""

from dcfnet_export.precision.conversion import convert

__all__ = ["convert"]
