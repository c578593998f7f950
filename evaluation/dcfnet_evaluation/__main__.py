"""`python -m dcfnet_evaluation` is `dcfnet-eval`."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts dcfnet-eval."""
    start("dcfnet-eval", "evaluation", _load)


def _load() -> Any:
    from dcfnet_evaluation.cli import app

    return app


if __name__ == "__main__":
    main()
