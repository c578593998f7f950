"""What a run tells to monitoring programs: metrics for Prometheus and the answer of /health.

All of it is off by default (docs/telemetry.md).
"""
