"""Labels: which value or color stands for which class."""
