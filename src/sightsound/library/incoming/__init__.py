"""Rows that were made elsewhere: read from tables, stored as a space of their own, and verified."""
