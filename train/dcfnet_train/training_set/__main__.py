"""`python -m dcfnet_train.training_set` builds the training footage that a manifest lists."""

from __future__ import annotations

from dcfnet_commands import start


def main() -> None:
    """Starts the command."""
    start("python -m dcfnet_train.training_set", "dcfnet_train.training_set.cli", "train")


if __name__ == "__main__":
    main()
