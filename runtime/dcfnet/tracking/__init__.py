"""One frame, from pixels to boxes: frame validation, search, geometry, status, filter update.

Read `steps.py` first. This subpackage imports all subpackages below it; only `dcfnet.tracker`, `dcfnet.lifecycle`
and other packages import it.
"""
