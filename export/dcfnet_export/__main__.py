"""`python -m dcfnet_export` is `dcfnet-export`."""

from __future__ import annotations

from dcfnet_commands import export as main

if __name__ == "__main__":
    main()
