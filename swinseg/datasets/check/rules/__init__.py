"""Rules by which a dataset is refused, a module for each subject."""
