"""Rows and items of a library in files for other programs."""
