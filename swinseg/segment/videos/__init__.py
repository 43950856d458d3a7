"""Videos: reading and writing them, and the labels of their frames."""
