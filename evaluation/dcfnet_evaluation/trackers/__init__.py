"""The trackers of an evaluation by name: this project's, those of OpenCV, and classes of the user.

`contenders` opens them, `peers` are OpenCV's, and `stages` times the stages of this project's tracker. `memory`
measures the peak memory of one tracker in a process of its own. Of the package, this room imports `passes` and
`sequences` only.
"""
