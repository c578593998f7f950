"""`python -m dcfnet_train` is `dcfnet-train`."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts dcfnet-train."""
    start("dcfnet-train", "train", _load)


def _load() -> Any:
    from dcfnet_train.cli import app

    return app


if __name__ == "__main__":
    main()
