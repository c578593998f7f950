"""Errors of the export that are not those of the runtime."""


class ParityError(ValueError):
    """The exported graph and the network compute different features."""
