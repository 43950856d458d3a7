"""The embedded mini dataset, drawn by a program."""
