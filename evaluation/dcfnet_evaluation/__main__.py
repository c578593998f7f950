"""`python -m dcfnet_evaluation` is `dcfnet-eval`."""

from __future__ import annotations

from dcfnet_commands import evaluate as main

if __name__ == "__main__":
    main()
