"""The training loop and the processes that feed it."""
