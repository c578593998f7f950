"""`python -m dcfnet_train.deep` trains a deep backbone. If a library is missing, it names the extra to install."""

from __future__ import annotations

from dcfnet_commands import start


def main() -> None:
    """Starts the command."""
    start("python -m dcfnet_train.deep", "dcfnet_train.deep.cli", "train")


if __name__ == "__main__":
    main()
