"""`python -m dcfnet_train` is `dcfnet-train`."""

from __future__ import annotations

from dcfnet_commands import train as main

if __name__ == "__main__":
    main()
