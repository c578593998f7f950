"""The footage of a training: annotated videos and crops, read, checked and divided.

`videos` reads whole sequences and clips of crops, `crop_manifest` the cache of crops, and `images` one image.
`inspection` checks boxes and images before the first step. `overlap` finds videos that are also in a test set, and
`split` holds videos out. `selection` does both for a run.
"""

from dcfnet_train.footage.selection import Footage

__all__ = ["Footage"]
