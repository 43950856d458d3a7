"""Layers and functions that compute the same as the usual ones, with less arithmetic or memory."""
