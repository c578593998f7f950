"""Exports a checkpoint to the files for deployment."""
