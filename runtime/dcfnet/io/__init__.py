"""Frames in, boxes and videos out: sources, checks of frames, pixel formats; `sinks/` writes boxes and videos.

Nothing here depends on tracking. It imports `dcfnet.errors` and `dcfnet.result`; the subpackages above may import it.
"""
