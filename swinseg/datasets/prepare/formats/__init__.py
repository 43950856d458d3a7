"""Annotation formats that are converted into folders of images and labels, a module for each."""
