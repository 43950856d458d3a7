"""A web page and an HTTP interface to a predictor; needs the extra ``web``."""
