"""Checkpoints of a run: writing and finding them, and going on from one."""
