"""Approximate indexes of the rows of a space: built on demand with FAISS, measured, signed, and searched."""
