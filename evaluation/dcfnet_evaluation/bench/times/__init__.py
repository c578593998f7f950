"""The times of a benchmark: decoded frames, trackers in turns, and the figures of each sequence.

`footage` decodes the frames, `contestants` opens the trackers, and `laps` times them in turns. `figures` has the times
by `kinds` of frames. `targets` times many targets and `cold_start` the first box. `measure` does all of it.
"""
