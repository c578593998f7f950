"""Writes the definitions of vision_msgs into a folder: `python write_messages.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from dcfnet.io.bags.detections import DEFINITIONS

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, text in DEFINITIONS.items():
    (folder / f"{name.rsplit('/', 1)[-1]}.msg").write_text(text)
