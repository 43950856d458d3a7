"""Checks of what a config asks of a model, before anything is computed."""
