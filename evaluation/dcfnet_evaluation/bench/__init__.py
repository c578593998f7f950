"""dcfnet-bench: how fast trackers are, side by side in one run, and what two runs differ by."""
