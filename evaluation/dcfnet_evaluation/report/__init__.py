"""The report of an evaluation: one HTML file, and its plots as SVG files."""

from dcfnet_evaluation.report.page import write_report

__all__ = ["write_report"]
