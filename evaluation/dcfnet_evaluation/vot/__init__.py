"""The tracker as an entry of the VOT toolkit, which starts it as a program and speaks TraX with it.

The toolkit is GPL-3 and brings libraries of its own: it lives in a virtual environment of its own, made as
evaluation/vot-requirements.txt says, and is never imported here. In a workspace that `vot initialize` made:

    dcfnet-vot --register .      adds the tracker to trackers.ini
    vot test dcfnet
    vot evaluate dcfnet
    vot analysis dcfnet

Measured by the toolkit on rendered clips in tests/evaluation/test_vot.py.
"""

from __future__ import annotations

from dcfnet_evaluation.vot.program import main

__all__ = ["main"]
