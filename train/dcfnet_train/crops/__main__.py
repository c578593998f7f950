"""`python -m dcfnet_train.crops` is `dcfnet-crops`."""

from __future__ import annotations

from dcfnet_commands import crops as main

if __name__ == "__main__":
    main()
