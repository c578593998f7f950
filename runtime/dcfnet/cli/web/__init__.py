"""The page of `dcfnet-run --web`: choose a video, draw the box, watch the tracker, download the results (docs/web.md).

A viewer is a browser that shows the page. It asks for each frame, so no frame waits in a queue.
"""
