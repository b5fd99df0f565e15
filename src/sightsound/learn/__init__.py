"""What a labelled library teaches: data sets, fitted probes, comparison, advice, prediction."""
