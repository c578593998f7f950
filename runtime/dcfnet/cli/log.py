"""The messages of a run on standard error: lines for people, or one JSON object per line (--log json)."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import datetime, timezone

PROGRAM = "dcfnet-run"
LAYOUTS = ("text", "json")


class MessageHandler(logging.Handler):
    """Writes to the standard error of the moment. layout: text or json."""

    layout = "text"

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line, complete at once. Raises as `print`, so that a closed pipe ends the program."""
        text = _json_line(record) if self.layout == "json" else f"{PROGRAM}: {record.getMessage()}"
        print(text, file=sys.stderr, flush=True)


_handler = MessageHandler()
_log = logging.getLogger("dcfnet.cli")
_log.addHandler(_handler)
_log.setLevel(logging.INFO)
_log.propagate = False


def set_layout(layout: str) -> None:
    """text: a line for people. json: an object per line (docs/telemetry.md)."""
    _handler.layout = layout


def is_structured() -> bool:
    """Whether messages are JSON objects."""
    return _handler.layout == "json"


def say(text: str, event: str = "message", level: int = logging.INFO, **fields: object) -> None:
    """A message for the user, one line. fields: are in the JSON object only."""
    _log.log(level, "%s", text, extra={"event": event, "fields": fields})


def tell_event(event: str, fields: Mapping[str, object], level: int = logging.INFO) -> None:
    """An event for programs: it is written with --log json only. fields: values for JSON."""
    if is_structured():
        _log.log(level, "", extra={"event": event, "fields": fields})


def _json_line(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
    content = {"time": time, "level": record.levelname.lower(), "event": getattr(record, "event", "message")}
    text = record.getMessage()
    return json.dumps(content | ({"message": text} if text else {}) | getattr(record, "fields", {}))
