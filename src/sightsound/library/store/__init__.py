"""The SQLite database of a library: its tables, how they are read, and how the one writer changes them."""
