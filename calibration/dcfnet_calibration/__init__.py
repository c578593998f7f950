"""Measures what a model is made smaller and tuned by: ranges of activations, and the tracker's constants."""
