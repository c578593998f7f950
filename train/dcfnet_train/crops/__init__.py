"""A cache of crops: only the target and its surroundings in each frame, small enough to read many times."""
