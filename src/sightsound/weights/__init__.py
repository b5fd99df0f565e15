"""Weight files: find, fetch and verify them by SHA-256."""
