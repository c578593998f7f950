"""An RTSP camera of GStreamer. It runs under the system's Python, which has GStreamer: no other module may be imported.

usage: rtsp_server.py PORT FRAMES WIDTH HEIGHT RATE. FRAMES: a file of I420 frames, shown again and again. The time of
each frame, `time.monotonic` in ms, is drawn into its first rows: BITS blocks of 8 x 8 px, the lowest bit first.
SIGUSR1 switches the pictures off and on; the connections stay. The process prints "ready".
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

BLOCK, BITS = 8, 32
BLACK, WHITE = b"\x10", b"\xeb"


class Camera:
    """Sends frames into a pipeline, at a rate."""

    def __init__(self, frames: Path, width: int, height: int, rate: float) -> None:
        content, size = frames.read_bytes(), width * height * 3 // 2
        self._frames = [content[place : place + size] for place in range(0, len(content), size)]
        self._width, self._rate, self.on = width, rate, True

    def stamped(self, number: int) -> bytes:
        """The frame with the time of this moment."""
        now = int(time.monotonic() * 1000)
        row = b"".join((WHITE if now >> bit & 1 else BLACK) * BLOCK for bit in range(BITS))
        frame = bytearray(self._frames[number % len(self._frames)])
        for line in range(BLOCK):
            frame[line * self._width : line * self._width + len(row)] = row
        return bytes(frame)

    def start(self, source: object, gst: object) -> None:
        """Pushes frames into an appsrc in a thread, until it refuses them."""
        threading.Thread(target=self._push, args=(source, gst), daemon=True).start()

    def _push(self, source, gst) -> None:  # type: ignore[no-untyped-def]
        due, number = time.monotonic(), 0
        while True:
            if (
                self.on
                and source.emit("push-buffer", gst.Buffer.new_wrapped(self.stamped(number))) != gst.FlowReturn.OK
            ):
                return
            number += 1
            due = max(due + 1 / self._rate, time.monotonic() - 1 / self._rate)
            time.sleep(max(due - time.monotonic(), 0))


def main(port: str, frames: str, width: str, height: str, rate: str) -> None:
    """Serves rtsp://127.0.0.1:PORT/camera."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    h264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 threads=1 bitrate=1500 ! rtph264pay"
    jpeg = "jpegenc quality=90 ! rtpjpegpay"
    encoder = h264 if Gst.ElementFactory.find("x264enc") else jpeg
    camera = Camera(Path(frames), int(width), int(height), float(rate))
    caps = f"video/x-raw,format=I420,width={width},height={height},framerate={rate}/1"
    factory = GstRtspServer.RTSPMediaFactory()
    source = (
        f"appsrc name=camera is-live=true do-timestamp=true format=time max-buffers=2 leaky-type=downstream caps={caps}"
    )
    factory.set_launch(f"( {source} ! {encoder} name=pay0 pt={96 if encoder is h264 else 26} )")
    factory.connect(
        "media-configure",
        lambda _, media: camera.start(media.get_element().get_by_name_recurse_up("camera"), Gst),
    )
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)

    def switch(*_: object) -> None:
        camera.on = not camera.on

    signal.signal(signal.SIGUSR1, switch)
    loop = GLib.MainLoop()
    GLib.timeout_add(20, lambda: True)  # Python's signal handlers run between two calls
    print("ready", flush=True)
    loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
