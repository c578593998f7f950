"""`dcfnet-bench gpu`: the speed on a GPU for numbers of targets and streams.

`command` is the command, `speed` runs the loads, `timing` times calls of `update`, `energy` reads the counter of the
GPU, and `roofline` computes the least time of a frame.
"""
