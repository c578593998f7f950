"""`python -m dcfnet_train.deep` trains a deep backbone. If a library is missing, it names the extra to install."""

from __future__ import annotations

from typing import Any

from dcfnet.cli.entry import start


def main() -> None:
    """Starts the command."""

    def load() -> Any:
        from dcfnet_train.deep.cli import app

        return app

    start("python -m dcfnet_train.deep", "train", load)


if __name__ == "__main__":
    main()
