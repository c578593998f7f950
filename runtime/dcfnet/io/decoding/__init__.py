"""Pixels from files: still images, grey levels, videos with PyAV or OpenCV, and their times.

`sources.py`, one folder up, decides what a name means; nothing here knows about folders, cameras by number or patterns.
"""
