"""Raster files of any size: reading by window, writing by rows, georeference."""
