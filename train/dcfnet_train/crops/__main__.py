"""`python -m dcfnet_train.crops` is `dcfnet-crops`."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts dcfnet-crops."""
    start("dcfnet-crops", "train", _load)


def _load() -> Any:
    from dcfnet_train.crops.cli import app

    return app


if __name__ == "__main__":
    main()
