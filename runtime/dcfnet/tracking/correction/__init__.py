"""Targets take the boxes of a detector: checks of the boxes, association, and the correction itself.

Read `moving.py` first. It may import all other modules of `tracking`; only `dcfnet.lifecycle` and `dcfnet.tracker`
import it.
"""
