"""The targets of a run: where they start, the boxes of a detector, births and deaths.

`starts` and `detections` read files, `births` and `duplicates` are rules, `run_targets` applies them to a tracker.
"""
