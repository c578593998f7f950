"""The failures of a run: when one starts, its pictures and results, and the page that shows them all.

`dcfnet-run --record-failures` uses it. Read `recorder.py` first.
"""
