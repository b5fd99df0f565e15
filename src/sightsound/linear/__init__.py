"""Linear classifiers on rows of numbers."""
