"""Addresses of streams, without their secrets."""

from __future__ import annotations

import re

URL = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?P<rest>[^\s\"']+)")
SECRET = re.compile(
    r"(?P<key>[\w-]*(?:pass(?:word|wd|phrase)?|pwd|token|secret|sig(?:nature)?|key|auth|user-pw|streamid))"
    r"(?P<is>\s*=\s*)(?P<value>\"[^\"]*\"|'[^']*'|[^&\s#;,!]+)",
    re.IGNORECASE,
)
HIDDEN = "***"


def without_secrets(text: str) -> str:
    """The text with *** for passwords in URLs and for values of keys such as password, token or secret."""
    masked = URL.sub(lambda match: match["scheme"] + _without_password(match["rest"]), text)
    return SECRET.sub(lambda match: f"{match['key']}{match['is']}{HIDDEN}", masked)


def _without_password(rest: str) -> str:
    """The part of a URL after its scheme, without the password. The last "@" before the path ends the password."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" not in authority and re.fullmatch(r"[^:]*(:\d*)?", authority):
        return rest  # a host, and perhaps a port
    credentials, at, _ = (authority if "@" in authority else rest).rpartition("@")  # "/" in it should be %2F
    user, colon, _ = credentials.partition(":")
    return f"{user}:{HIDDEN}@{rest[len(credentials) + 1 :]}" if at and colon else rest


def is_url(text: str) -> bool:
    """Whether the text starts with a scheme, for example rtsp://."""
    return re.match(r"[a-zA-Z][\w+.-]*://", text) is not None


def is_pipeline(text: str) -> bool:
    """Whether the text is a pipeline of GStreamer, whose elements are separated by "!"."""
    return re.search(r"\s!\s", text) is not None


def is_web_address(text: str) -> bool:
    """Whether the text is the address of a file on a server, which can be a recording or a stream."""
    return re.match(r"(https?|ftp)://", text, re.IGNORECASE) is not None
