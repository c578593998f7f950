"""Targets for NVIDIA Triton's Python backend: one target for each sequence of requests. Nothing here imports Triton."""
