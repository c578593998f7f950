"""The tracker as a program for the VOT toolkit, which starts it and sends it TraX messages.

The licence of the toolkit is GPL-3 and it needs its own libraries. It is installed in a separate virtual environment,
see evaluation/vot-requirements.txt, and is never imported here. In a workspace of `vot initialize`:

    dcfnet-vot --register .      adds the tracker to trackers.ini
    vot test dcfnet
    vot evaluate dcfnet
    vot analysis dcfnet

tests/evaluation/test_vot_toolkit.py runs the toolkit on rendered clips.
"""

from __future__ import annotations

from dcfnet_evaluation.vot.program import main

__all__ = ["main"]
