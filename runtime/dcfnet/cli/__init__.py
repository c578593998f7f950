"""The command `dcfnet-run`, and the start of all commands that need optional libraries.

This room is the top of the package: no other room imports it.
"""
