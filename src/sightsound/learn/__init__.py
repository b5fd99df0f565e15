"""Learn from the labelled items of a library: data sets, probes, comparison of networks, advice, and prediction."""
