"""Targets take the boxes of a detector: checks of the boxes, association, and the correction itself.

Read `moving.py` first. It may import all other modules of `tracking` except `lifecycle.py`; only `lifecycle.py` and
`dcfnet.tracker` import it.
"""
