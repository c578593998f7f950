"""`python -m dcfnet_train` is `dcfnet-train`."""

from dcfnet_train.cli import app

if __name__ == "__main__":
    app(prog_name="dcfnet-train")
