"""Google's AudioSet networks for sightsound: the plugins `vggish` and `yamnet`. Importing them loads no framework."""
