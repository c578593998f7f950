"""Trains the network end to end through the correlation filter."""
