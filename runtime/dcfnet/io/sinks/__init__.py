"""Results to files: box files in lines (csv, jsonl, otb, mot) and as COCO JSON, and annotated videos.

`target_row.py` has one target in one frame, which all of them write. Sinks know the frames of a source; no source knows
a sink, except that a bag can also be written.
"""
