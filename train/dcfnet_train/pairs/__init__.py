"""Training pairs: a template patch and a search patch of one target.

`dataset` cuts pairs from footage, `synthetic` renders pairs from photographs, and `augment` changes their pixels and
boxes. Of the package, this room imports `footage` and the recipe.
"""

from dcfnet_train.pairs.dataset import Pairs, crop_pair

__all__ = ["Pairs", "crop_pair"]
