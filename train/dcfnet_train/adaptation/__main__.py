"""`python -m dcfnet_train.adaptation` is `dcfnet-adapt`."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts dcfnet-adapt."""
    start("dcfnet-adapt", "train", _load)


def _load() -> Any:
    from dcfnet_train.adaptation.cli import app

    return app


if __name__ == "__main__":
    main()
