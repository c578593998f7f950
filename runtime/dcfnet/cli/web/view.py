"""What the viewer gets of one frame, and how it is sent: picture, box and response map in one message."""

from __future__ import annotations

import json
from dataclasses import dataclass

from dcfnet.cli.failures.pictures import encoded, response_picture, shrunk
from dcfnet.io.frame import Array, Frame, frame_size
from dcfnet.io.sinks.boxes import BoxLine, json_row

LONG_SIDE = 1280  # px, largest side of a sent picture; larger ones take longer to encode than to track
QUALITY = 80  # of the JPEG: about 100 kB for 1280 x 720 px
LENGTH_BYTES = 4  # of the number of bytes of a part, big-endian


@dataclass(frozen=True)
class View:
    """One frame for the viewer.

    index: 0-based number of the frame. time: seconds after the first frame. pixels: uint8 (H, W, 3) BGR.
    line: of the results; None before the start. response: response map, float32 (R, R), if the viewer asked for it.
    preview: whether the viewer can ask for a newer frame before the start.
    """

    index: int
    time: float
    pixels: Frame
    line: BoxLine | None = None
    response: Array | None = None
    preview: bool = False

    def message(self) -> bytes:
        """Length of the header, header (JSON), length of the response map, response map (PNG or nothing), JPEG.

        The header has the fields of a line of `jsonl`; size: [width, height] of the frame in pixels; preview.
        """
        picture, _ = shrunk(self.pixels, LONG_SIDE)
        row = json_row(self.line) if self.line else {"frame": self.index, "box": None, "time": self.time}
        header = row | {"size": frame_size(self.pixels), "preview": self.preview}
        response = None if self.response is None else response_picture(self.response)
        parts = [json.dumps(header).encode(), response or b""]
        prefixed = [len(part).to_bytes(LENGTH_BYTES, "big") + part for part in parts]
        return b"".join([*prefixed, encoded(picture, ".jpg", QUALITY) or b""])
