"""The parts of `gpu_report.py`: times, a yardstick, tests, and the file of the report."""
