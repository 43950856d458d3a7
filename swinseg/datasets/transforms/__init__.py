"""Transforms of a dataset's pipeline, and of a test image's."""
