"""`python -m dcfnet_train.crops` is `dcfnet-crops`."""

from dcfnet_train.crops.cli import app

if __name__ == "__main__":
    app(prog_name="dcfnet-crops")
