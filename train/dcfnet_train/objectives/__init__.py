"""Objectives of a training: the loss through the correlation filter, and denoising for comparison.

`correlation_filter` is the filter as a layer, `loss` is eq. 4, and `denoising` trains the network without a filter. Of
the package, this room imports the backbone and the recipe only.
"""
