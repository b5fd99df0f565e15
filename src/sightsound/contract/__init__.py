"""What the host and its plugins agree on: cards, embedders, results, spaces, hooks and errors. Imports NumPy alone."""
