"""Pictures of training runs: curves, scalars and the comparison of runs."""
