"""The tracker's constants, and the base class of frozen settings.

Any subpackage may import this one. It imports only `dcfnet.errors`.
"""

from __future__ import annotations

from dcfnet.config.constants import CONSTANTS, DEFAULT_PRESET, MIN_TARGET_SIDE, NEVER, PRESETS, TrackerConfig

__all__ = ["CONSTANTS", "DEFAULT_PRESET", "MIN_TARGET_SIDE", "NEVER", "PRESETS", "TrackerConfig"]
