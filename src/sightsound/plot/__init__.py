"""Figures of sounds and of reports, with matplotlib."""
