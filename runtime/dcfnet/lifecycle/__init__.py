"""The life of a tracker around its frames: opening a model, warm-up, times of frames, copies, state files, `close`.

Read `tracker_lifecycle.py` first. This subpackage imports `dcfnet.tracking` and all subpackages below it; only
`dcfnet.tracker`, `dcfnet.cli` and other packages import it.
"""
