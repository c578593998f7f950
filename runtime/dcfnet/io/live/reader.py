"""The thread that reads a live source."""

from __future__ import annotations

import time
from threading import Event, Thread

from dcfnet.errors import SourceError
from dcfnet.io.live.clock import StreamClock
from dcfnet.io.live.connection import Connect, Connection
from dcfnet.io.live.frame_buffer import FrameBuffer
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.source_frame import Delay, SourceFrame

FIRST_WAIT, LONGEST_WAIT = 0.25, 2.0  # s between two attempts to connect
LONGER = 1.5  # each wait, divided by the one before
STALL = 1.0  # s without a frame that count as a gap, also if the connection holds
SLOW = 3.0  # intervals of the nominal rate without a frame that do not count as a gap


class StreamReader:
    """Reads frames into a buffer, in a thread. After any failed read it opens the source again, within a time.

    It starts with an open connection. The capture is opened, read and released by this thread only: another thread must
    not release it during a read. ending: why no more frames come; "" while they come. connections: number of them.
    """

    def __init__(self, first: Connection, connect: Connect, name: str, options: LiveOptions) -> None:
        self._connect, self._name, self._options = connect, name, options
        self._clock, self._stop = StreamClock(), Event()
        self._last: float | None = None  # arrival of the newest frame
        self._deadline: float | None = None  # of the next frame, during an outage
        self._wait = FIRST_WAIT
        self.buffer = FrameBuffer(options.every_frame)
        self.connections = 1
        self.ending = ""
        self._thread = Thread(target=self._run, args=(first,), name="dcfnet live source", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread. A read that waits for a frame is over after its time-out."""
        self._stop.set()
        self.buffer.close()
        self._thread.join(self._options.open_timeout + 2 * self._options.read_timeout + 1.0)

    def _run(self, connection: Connection | None) -> None:
        try:
            while connection is not None:
                self._read(connection)
                connection = None if self._stop.is_set() else self._connect_again()
        except BaseException as error:  # the thread that takes the frames must not wait for ever
            self.buffer.close(error)
        self.buffer.close()

    def _read(self, connection: Connection) -> None:
        """Reads until the connection is lost. The decoder releases its capture at the end."""
        self._clock.connected(connection.has_clock)
        longest = max(STALL, SLOW / connection.decoder.fps if connection.decoder.fps else 0.0)
        asked = time.monotonic()
        for answer in connection.decoder.decode():
            arrival = time.monotonic()
            if self._stop.is_set() or arrival - asked >= connection.timeout:
                return  # after the time-out the frame is as old as the wait, and the next read would wait as long
            gap = self._gap(arrival, arrival - asked, longest)
            self._last = arrival
            moment = self._clock.time(answer.time, arrival)
            self.buffer.put(SourceFrame(answer.pixels, moment, delay=Delay(arrival, gap=gap)))
            asked = time.monotonic()

    def _gap(self, arrival: float, waited: float, longest: float) -> float:
        """Seconds without a frame before this one, if the connection was lost, or if the read `waited` for too long."""
        if self._last is None:
            return 0.0
        if self._deadline is None:
            return waited if waited > longest else 0.0
        self._deadline, gap = None, arrival - self._last
        self._options.tell(f"{self._name}: frames again, after {gap:.1f} s without a frame")
        return gap

    def _connect_again(self) -> Connection | None:
        """The next connection; None if no frame arrives in time, or if none ever arrived."""
        if self._last is None:
            return None
        if self._deadline is None:
            self._begin_outage(time.monotonic() - self._last)
        else:  # the newest connection gave no frame
            self._pause()
        cause = "the connection was lost"
        while self._deadline is not None and time.monotonic() < self._deadline and not self._stop.is_set():
            try:
                connection = self._connect()
                self.connections += 1
                return connection
            except SourceError as error:
                cause = str(error).removeprefix(f"{self._name}: ")
            self._pause()
        self.ending = f"no frame for {time.monotonic() - self._last:.1f} s ({cause})"
        return None

    def _begin_outage(self, silent: float) -> None:
        """silent: seconds since the newest frame."""
        self._deadline, self._wait = time.monotonic() + self._options.reconnect, FIRST_WAIT
        if self._options.reconnect:
            self._options.tell(f"{self._name}: no frame for {silent:.1f} s; connecting again")

    def _pause(self) -> None:
        """Waits before the next attempt, each time longer."""
        left = (self._deadline or 0.0) - time.monotonic()
        self._stop.wait(max(min(self._wait, left), 0.0))
        self._wait = min(LONGER * self._wait, LONGEST_WAIT)
