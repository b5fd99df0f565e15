"""Embed files: decode them in threads, fill batches across files, run the network. Memory is bounded."""
