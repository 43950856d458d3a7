"""Configs: what they say about a model and its data, read without building any of it."""
