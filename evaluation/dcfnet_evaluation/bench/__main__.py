"""`python -m dcfnet_evaluation.bench` runs `dcfnet-bench`."""

from dcfnet_evaluation.bench.cli import app

if __name__ == "__main__":
    app(prog_name="dcfnet-bench")
