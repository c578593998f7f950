"""Bags: recordings of ROS 2 (mcap, sqlite3) and ROS 1, as sources of images and as files of detections.

Start with `source.py`.
"""
