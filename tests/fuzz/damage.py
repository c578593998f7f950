"""A reader with its valid file, the faults that a file can have, and the limits that a reader must keep."""

from __future__ import annotations

import json
import resource
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dcfnet.errors import DcfnetError
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.vot.trax import VotError

ERRORS = (DcfnetError, SequenceError, VotError)
ODD: tuple[Any, ...] = (None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "x" * 99, [], {}, [[1]])
NUMBERS = (np.float32(3e38), np.float32(-3e38), np.float32("nan"), np.float64(1e300), np.int64(2**62), np.int32(-1))
PNG = b"\x89PNG\r\n\x1a\n"
MOST_SECONDS, MOST_MEMORY = 5.0, 500  # of one file; the memory in MB, above that of the process before


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    name: path of the file. content: of a valid one. read: raises one of ERRORS for an invalid one. beside: path ->
    content of other files that it needs.
    """

    name: str
    content: Callable[[], bytes]
    read: Callable[[Path], object]
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path, content: bytes) -> Path:
        """Writes the file with this content, and the other files if they are not there."""
        for name, other in self.beside.items():
            if not (folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(other)
        file = folder / self.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file


def attempt(reader: Reader, folder: Path, seed: int) -> bool:
    """Reads one damaged copy. Returns whether it was accepted.

    Any error that is not in ERRORS is passed on. Raises AssertionError beyond MOST_SECONDS or MOST_MEMORY.
    """
    file = reader.write(folder, damaged(reader.content(), np.random.default_rng(seed)))
    before, start = _peak_memory(), time.process_time()
    accepted = True
    try:
        reader.read(file)
    except ERRORS:
        accepted = False
    seconds, memory = time.process_time() - start, _peak_memory() - before
    assert seconds <= MOST_SECONDS, f"{reader.name}, seed {seed}: {seconds:.1f} s"
    assert memory <= MOST_MEMORY, f"{reader.name}, seed {seed}: {memory} MB"
    return accepted


def _peak_memory() -> int:
    """The largest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A copy with one to four faults: values of JSON that are replaced, and bytes that are changed, lost or added."""
    if content[:1] == b"{" and rng.random() < 0.6:
        value = json.loads(content)
        for _ in range(rng.integers(1, 4)):
            value = _with_an_odd_value(value, rng)
        return json.dumps(value).encode()
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(len(content) + 1))
        if rng.random() < 0.3:
            start = min(start, int(rng.integers(64)))  # headers have the lengths of all that follows
        end = min(start + int(rng.choice([0, 1, 1, 4, 8, 50, 10**9])), len(content))
        content = content[:start] + _fault(end - start, rng) + content[end:]
    return _with_valid_sums(content) if content.startswith(PNG) and rng.random() < 0.6 else content


def _with_valid_sums(png: bytes) -> bytes:
    """A PNG whose chunks have valid checksums, so that a damaged header is not refused because of its checksum."""
    position, chunks = len(PNG), [PNG]
    while position + 8 <= len(png):
        end = position + 8 + int.from_bytes(png[position : position + 4], "big")
        named = png[position + 4 : end]
        chunks.append(png[position : position + 4] + named + zlib.crc32(named).to_bytes(4, "big"))
        position = end + 4
    return b"".join(chunks)


def _fault(length: int, rng: np.random.Generator) -> bytes:
    """Bytes that are put in place of `length` others."""
    number = NUMBERS[int(rng.integers(len(NUMBERS)))].tobytes()
    texts = (
        b"\0" * 8,
        b"9" * 20,
        b"9" * 5000,
        b"\xff",
        b"[" * 20_000,
        b"7" * 200_000,
        b"nan",
        b"\xe2\x91\xa0",
        number,
        number * 200,
    )
    kind = int(rng.integers(len(texts) + 3))
    if kind < len(texts):
        return texts[kind]
    return rng.bytes(length)[: 10**6] if kind == len(texts) else b""


def _with_an_odd_value(value: Any, rng: np.random.Generator) -> Any:
    """A copy of a JSON value with one part replaced, removed or renamed."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or rng.random() < 0.1:
        return ODD[int(rng.integers(len(ODD)))]
    key = keys[int(rng.integers(len(keys)))]
    copy = dict(value) if isinstance(value, dict) else list(value)
    if isinstance(copy, dict) and rng.random() < 0.2:
        part = copy.pop(key)
        return copy | ({} if rng.random() < 0.5 else {f"{key}x": part})
    copy[key] = _with_an_odd_value(value[key], rng)
    return copy
