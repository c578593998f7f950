"""A camera or a stream as a source of frames."""

from __future__ import annotations

from collections.abc import Iterator

from dcfnet.errors import SourceError
from dcfnet.io.decoding.videos import DEFAULT_FPS
from dcfnet.io.live.connection import Connect, Connection
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.live.reader import StreamReader
from dcfnet.io.source_frame import FrameSource, SourceFrame, SourceReport

STUCK = 10.0  # s: a reading thread that gives neither a frame nor an end for so long after all time-outs is stuck


def live_source(first: Connection, connect: Connect, name: str, options: LiveOptions) -> FrameSource:
    """A live source. Its thread starts with the iteration, and ends with it or with `close`.

    first: an open connection. connect: opens the next one, after a loss. name: without passwords. Iteration raises
    SourceError if no frame arrives. If frames came and no more come, the report has `died`.
    """
    decoder = first.decoder
    report = SourceReport(stored=decoder.stored)
    frames = _frames(first, connect, name, options, report)
    return FrameSource(name, decoder.fps or DEFAULT_FPS, None, frames, report, live=True)


def _frames(
    first: Connection, connect: Connect, name: str, options: LiveOptions, report: SourceReport
) -> Iterator[SourceFrame]:
    patience = options.reconnect + options.open_timeout + 2 * options.read_timeout + STUCK
    reader, count = StreamReader(first, connect, name, options), 0
    try:
        while (frame := reader.buffer.take(patience)) is not None:
            count += 1
            yield frame
        ending = reader.ending
    except TimeoutError:
        ending = f"no frame for {patience:.0f} s, and the decoder does not return"
    finally:
        reader.close()
    if not count:
        raise SourceError(
            f"{name}: no frame arrived; check that the source sends pictures, and that nobody else uses it"
        )
    connections = f"; there were {reader.connections} connections" * (reader.connections > 1)
    report.died = f"the stream ended after {count} frames: {ending}{connections}"
