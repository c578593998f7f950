"""`python -m dcfnet_evaluation` runs `dcfnet-eval`."""

from dcfnet_evaluation.cli import app

if __name__ == "__main__":
    app(prog_name="dcfnet-eval")
