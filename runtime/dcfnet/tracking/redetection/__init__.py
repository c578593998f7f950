"""Redetection: targets that are not where they were are searched for at other positions.

`present_filter` is for lost and occluded targets, and `first_filter` for doubtful ones, whose filter may have learnt
something else. `camera_cuts` finds cuts in the frames. Both searches use `positions` and `searches`. Of tracking, this
room imports the search, the state and the typical response, and what is below them. `steps` and `correction` import it.
"""

from dcfnet.tracking.redetection.camera_cuts import read_views
from dcfnet.tracking.redetection.first_filter import record_sure
from dcfnet.tracking.redetection.present_filter import redetect

__all__ = ["read_views", "record_sure", "redetect"]
