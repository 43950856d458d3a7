"""Scenes: images too large to be held, segmented by windows."""
