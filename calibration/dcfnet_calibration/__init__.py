"""Measures activation ranges for int8, and tunes the constants of the tracker."""
