"""Linear classifiers on rows of numbers, with NumPy and scikit-learn alone."""
