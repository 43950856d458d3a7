"""Decoding of uploads, in processes that are ended when one costs too much."""
