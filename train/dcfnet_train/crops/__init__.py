"""A cache of crops: of every frame the surroundings of its target alone, small enough to be read many times over."""
