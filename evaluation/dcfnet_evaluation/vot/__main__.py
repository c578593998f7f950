"""`python -m dcfnet_evaluation.vot` runs `dcfnet-vot`."""

from __future__ import annotations

import sys

from dcfnet_evaluation.vot.program import main

if __name__ == "__main__":
    sys.exit(main())
