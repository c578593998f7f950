"""Evaluation of trackers: annotated and rendered sequences, protocols and scores."""
