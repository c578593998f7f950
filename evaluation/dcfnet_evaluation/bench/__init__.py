"""dcfnet-bench: measures the speed of trackers in one run, and compares two runs."""
