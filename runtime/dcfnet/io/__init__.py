"""Frames in, boxes and videos out: sources, frame checks, pixel formats, box files, annotated videos.

This room knows nothing about tracking. It imports `dcfnet.errors` and `dcfnet.result`; every room above may import it.
"""
