"""Discover plugins, resolve names, load embedders as checked models."""
