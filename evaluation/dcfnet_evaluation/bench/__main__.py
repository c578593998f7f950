"""`python -m dcfnet_evaluation.bench` is `dcfnet-bench`."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts dcfnet-bench."""
    start("dcfnet-bench", "evaluation", _load)


def _load() -> Any:
    from dcfnet_evaluation.bench.cli import app

    return app


if __name__ == "__main__":
    main()
