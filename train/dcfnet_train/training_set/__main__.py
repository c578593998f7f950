"""`python -m dcfnet_train.training_set` builds the training footage that a manifest lists."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts the command."""
    start("python -m dcfnet_train.training_set", "train", _load)


def _load() -> Any:
    from dcfnet_train.training_set.cli import app

    return app


if __name__ == "__main__":
    main()
