"""The command `dcfnet-run`, and the start of all commands that need optional libraries.

This is the top of the package: no other subpackage imports it.
"""
