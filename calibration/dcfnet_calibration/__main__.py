"""`python -m dcfnet_calibration` is `dcfnet-calibrate`."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts dcfnet-calibrate."""
    start("dcfnet-calibrate", "calibration", _load)


def _load() -> Any:
    from dcfnet_calibration.cli import app

    return app


if __name__ == "__main__":
    main()
