"""The library on disk: SQLite and FAISS; index, search, labels and maintenance."""
