"""What the host and its plugins agree on: cards, embedders, results, spaces, hooks, errors. It imports NumPy only."""
