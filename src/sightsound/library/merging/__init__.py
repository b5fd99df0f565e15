"""Merging libraries: items, rows, outcomes and labels of one are taken into another."""
