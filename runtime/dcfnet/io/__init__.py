"""Frames in, boxes and videos out: sources, frame checks, pixel formats, box files, annotated videos.

Nothing here depends on tracking. It imports `dcfnet.errors` and `dcfnet.result`; the subpackages above may import it.
"""
