"""`python -m dcfnet_calibration` is `dcfnet-calibrate`."""

from dcfnet_calibration.cli import app

if __name__ == "__main__":
    app(prog_name="dcfnet-calibrate")
