"""One frame, from pixels to boxes: frame validation, search, geometry, status, filter update.

`steps.py` is the page to read first. This room imports all rooms below it; only `dcfnet.tracker` and other packages
import it.
"""
