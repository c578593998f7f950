"""`python -m dcfnet_train.adaptation` is `dcfnet-adapt`."""

from dcfnet_train.adaptation.cli import app

if __name__ == "__main__":
    app(prog_name="dcfnet-adapt")
