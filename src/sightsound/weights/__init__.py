"""Weight files: find them, fetch them, verify them by a hash."""
