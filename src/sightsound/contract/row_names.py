"""The names by which a file of rows says what they are: metadata of Parquet, arrays of an .npz, keys of JSON."""

from __future__ import annotations

from collections.abc import Mapping

SPACE, FINGERPRINT = "space", "fingerprint"
"""The name and the fingerprint of the space of the rows."""
FACTS = "facts"
"""What the fingerprint hashes, as JSON."""
LAYERS = "layers"
"""The names of the layers, where a file has rows of several; `space[LAYER]` is the space of one then."""
SCORE_KIND, CLASSES, BEST = "score_kind", "classes", "best"
"""Of the columns below: whether scores are of a sigmoid or a softmax, the list of all classes as JSON, and how many of
the best ones a row has at most."""
FORMAT, WRITER = "format", "writer"
"""The version of the names and columns, and the program that wrote the file."""
ABOUT = (SPACE, FINGERPRINT, FACTS, LAYERS, SCORE_KIND, CLASSES, BEST, FORMAT, WRITER)
"""All of these names."""
TOP_LABELS, TOP_IDS, TOP_SCORES = "top_labels", "top_ids", "top_scores"
"""The columns of the best classes of each row: their names, their ids, and their scores."""
FACT = "fact."
"""The names of the columns of facts begin with this."""
WINDOW = "window."
"""Stands before the name of a column of labels: those of time ranges that the window of a row overlaps."""
PREFIX = "sightsound."
"""May stand before a name, in files of programs that say more of their rows than sightsound does."""


def stated(said: Mapping[str, str], name: str) -> str:
    """Return what a file says under a name, with or without `PREFIX`; "" if nothing."""
    return said.get(PREFIX + name) or said.get(name) or ""
