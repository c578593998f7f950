"""TraX, the lines of text in which an evaluation and a tracker talk, read and written.

Version 1 of the "TraX protocol specification" (trax.readthedocs.io; Cehovin, "TraX: The visual Tracking eXchange
protocol and library", Neurocomputing 2017), which every later client still speaks to a tracker that announces it. In
the paper's words the tracker is the server and the evaluation its client. Nothing but the standard library is needed
here, so that a tracker can introduce itself before it loads anything.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

PREFIX = b"@@TRAX:"
_TOKEN = re.compile(r'\s+(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^\s"]\S*))')
_KEY = re.compile(r"([A-Za-z0-9._]{1,64})=")


class VotError(ValueError):
    """What ends a session: a message against the protocol, or a tracker that cannot be made."""


@dataclass(frozen=True)
class Message:
    """One message: its name, its arguments in order, and its named arguments."""

    name: str
    arguments: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)

    def expect(self, count: int) -> tuple[str, ...]:
        """The arguments. Raises VotError where there are not `count` of them."""
        if len(self.arguments) != count:
            raise VotError(f"{self.name}: takes {count} arguments, not {len(self.arguments)}: {self.arguments!r:.80}")
        return self.arguments

    @classmethod
    def parse(cls, line: bytes) -> Message | None:
        """The message in a line; None for a line that is none and is to be passed over. Raises VotError."""
        if not line.startswith(PREFIX):
            return None
        text = os.fsdecode(line[len(PREFIX) :].rstrip())
        name = text.split(maxsplit=1)[0] if text else ""
        at, arguments, properties = len(name), list[str](), dict[str, str]()
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None:
                raise VotError(
                    f"{name}: {text[at:]!r:.80} is no argument; it lacks a quotation mark or the space before"
                )
            at = token.end()
            argument = _unescaped(token[2] if token[1] is None else token[1])
            key = _KEY.match(argument)
            if key:
                properties[key[1]] = argument[key.end() :]
            else:
                arguments.append(argument)
        return cls(name, tuple(arguments), properties)

    def line(self) -> bytes:
        """The message as it travels, one line with its end."""
        given = [*self.arguments, *(f"{key}={value}" for key, value in self.properties.items())]
        return os.fsencode(" ".join([PREFIX.decode() + self.name, *map(_quoted, given)]) + "\n")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)


class Link:
    """The evaluation at the other end of two streams."""

    def __init__(self, incoming: BinaryIO, outgoing: int) -> None:
        """incoming: a stream of lines. outgoing: a file descriptor, so that a message leaves in one piece."""
        self._incoming, self._outgoing = incoming, outgoing

    @classmethod
    def of_process(cls) -> Link:
        """The link over this process's standard streams.

        From here on standard output is standard error for everything else: what a library prints cannot break into
        the conversation.
        """
        outgoing = os.dup(sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.dup2(2, 1)
        return cls(sys.stdin.buffer, outgoing)

    def __iter__(self) -> Iterator[Message]:
        """The messages that come in, until the other side hangs up. Raises VotError for one that cannot be read."""
        for line in iter(self._incoming.readline, b""):
            message = Message.parse(line)
            if message is not None:
                yield message

    def send(self, message: Message) -> None:
        """Sends the message. Raises BrokenPipeError where nobody listens."""
        line = message.line()
        while line:
            line = line[os.write(self._outgoing, line) :]
