"""`python -m dcfnet_calibration` is `dcfnet-calibrate`."""

from __future__ import annotations

from dcfnet_commands import calibrate as main

if __name__ == "__main__":
    main()
