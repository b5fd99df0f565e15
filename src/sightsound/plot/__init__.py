"""Figures of segments and of evaluations, with matplotlib and wordcloud (extra `plot`)."""
