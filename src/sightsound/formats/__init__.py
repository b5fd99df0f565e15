"""Tables as files: columns with their meaning, CSV, JSON, Parquet and NumPy archives, written block by block."""
