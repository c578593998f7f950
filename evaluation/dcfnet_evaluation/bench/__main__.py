"""`python -m dcfnet_evaluation.bench` is `dcfnet-bench`."""

from __future__ import annotations

from dcfnet_commands import bench as main

if __name__ == "__main__":
    main()
