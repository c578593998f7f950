"""Live sources: cameras and streams, read with a short delay by a thread, and connected again when they are lost.

Start with `source.py`.
"""
