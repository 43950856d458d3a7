"""Checks before the first step of training, of what only the built parts can tell."""
