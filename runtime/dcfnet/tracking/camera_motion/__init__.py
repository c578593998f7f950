"""The motion of the camera: with the setting `camera_motion`, the tracker also searches where the scene moved to.

`scenes` measures how far the scene moved between two frames, and `following` searches there. Of tracking, this
room imports the search, the state and the typical response, and what is below them. `steps` and `correction` import it.
"""

from dcfnet.tracking.camera_motion.following import follow_camera, search_moved
from dcfnet.tracking.camera_motion.scenes import read_scenes

__all__ = ["follow_camera", "read_scenes", "search_moved"]
