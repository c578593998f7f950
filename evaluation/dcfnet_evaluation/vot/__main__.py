"""`python -m dcfnet_evaluation.vot` runs `dcfnet-vot`."""

from __future__ import annotations

from dcfnet_commands import vot as main

if __name__ == "__main__":
    main()
