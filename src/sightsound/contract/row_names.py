"""The names by which a file of rows says what they are: metadata of Parquet, arrays of an .npz, keys of JSON."""

from __future__ import annotations

from collections.abc import Mapping

SPACE, FINGERPRINT = "space", "fingerprint"
"""The name and the fingerprint of the space of the rows."""
FACTS = "facts"
"""What the fingerprint hashes, as JSON."""
LAYERS = "layers"
"""The names of the layers, where a file has rows of several; `space[LAYER]` is the space of one then."""
FORMAT, WRITER = "format", "writer"
"""The version of the names and columns, and the program that wrote the file."""
ABOUT = (SPACE, FINGERPRINT, FACTS, LAYERS, FORMAT, WRITER)
"""All of these names."""
PREFIX = "sightsound."
"""May stand before a name, in files of programs that say more of their rows than sightsound does."""


def stated(said: Mapping[str, str], name: str) -> str:
    """Return what a file says under a name, with or without `PREFIX`; "" if nothing."""
    return said.get(PREFIX + name) or said.get(name) or ""
