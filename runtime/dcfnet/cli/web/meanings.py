"""What each reason means, in plain words for the page."""

from __future__ import annotations

from dcfnet.result import Reason

MEANINGS = {
    Reason.FOUND: "The target was found.",
    Reason.LOW_PSR: "The response map has no clear peak.",
    Reason.UNLIKE: "The best place looks very different from the target.",
    Reason.OCCLUDED: "Something covers the target, or the box is elsewhere.",
    Reason.LOW_CONFIDENCE: "The box is probably wrong.",
    Reason.OUT_OF_VIEW: "The target left the frame.",
    Reason.NO_TEXTURE: "The search region has one flat colour.",
    Reason.NO_FRAME: "The source gave no frame.",
    Reason.BAD_FRAME: "The frame could not be decoded.",
    Reason.FROZEN_FRAME: "The frame is equal to the frame before.",
    Reason.OUT_OF_ORDER: "The frame is older than the frame before.",
    Reason.REDETECTED: "The target was found again at another place.",
    Reason.SCALE_LIMIT: "The size of the box reached its limit.",
    Reason.RESOLUTION_CHANGED: "The size of the frames changed.",
    Reason.CORRECTED: "The target took the box of a detector.",
}
