"""Random calls of the trackers. DCFNET_FUZZ=N runs N sequences of calls instead of the few of a normal test run.

A long run also shrinks a failing sequence to the few calls that are needed.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.runtime.fuzz import Calls

TRIALS = int(os.environ.get("DCFNET_FUZZ", "0"))
SHORT = settings(max_examples=30, stateful_step_count=20, derandomize=True, phases=[Phase.generate])
LONG = settings(max_examples=TRIALS or 1, stateful_step_count=50, database=None)


def test_random_calls_keep_all_promises() -> None:
    quiet = settings(LONG if TRIALS else SHORT, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Calls, settings=quiet)  # type: ignore[no-untyped-call]
