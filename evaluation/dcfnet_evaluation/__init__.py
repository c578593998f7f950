"""Judging a tracker: annotated and rendered sequences, protocols and scores."""
