"""`python -m dcfnet_train.adaptation` is `dcfnet-adapt`."""

from __future__ import annotations

from dcfnet_commands import adapt as main

if __name__ == "__main__":
    main()
