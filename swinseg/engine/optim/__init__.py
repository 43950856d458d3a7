"""Optimization: batches, accumulation, precision, parameter groups and learning rates."""
