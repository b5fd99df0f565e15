"""Tables that other commands write: which columns tell them, and how the labels of items stand in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightsound.contract.paths import printable
from sightsound.formats.texts import ESCAPED_CONTROLS, NOTE


@dataclass(frozen=True)
class OtherTable:
    """A table of a command that is none of labels, though it has columns of labels.

    Parameters
    ----------
    command : str
        The command that writes it.
    told : frozenset of str
        Columns that tell it.
    texts : frozenset of str
        Columns whose cells have one text, and not several as those of labels.
    of_parts : bool
        Whether a row with a start is about this part of a recording alone, and not about the whole one.
    joined : bool
        Whether several labels are one text in Parquet, too, and not in CSV alone.
    """

    command: str
    told: frozenset[str]
    texts: frozenset[str] = frozenset()
    of_parts: bool = False
    joined: bool = False

    def has_lists(self, name: str) -> bool:
        """Return whether a text in a column may be several."""
        return not self.of_parts and name not in self.texts


_TABLES = (
    OtherTable(
        "list",
        frozenset(("id", "file", "modality", "content", "status")),
        frozenset(("modality", "content", "status", "reason")),
    ),
    OtherTable(
        "search", frozenset(("id", "file", "score", "spaces")), frozenset(("query", "library", "recorded", "tag"))
    ),
    OtherTable("duplicates", frozenset(("group", "keep", "similarity", "reason")), of_parts=True),
    OtherTable("export", frozenset(("file_name", "item", "content")), frozenset(("file_name", "content")), joined=True),
    OtherTable("export", frozenset(("x", "y", "item", NOTE.name)), frozenset(("top_label",)), joined=True),
    OtherTable("export", frozenset(("item", "root", "content", "start", "stop", NOTE.name)), frozenset(("content",))),
)


def other_table(names: Sequence[str]) -> OtherTable | None:
    """Return what a table with these columns is, None if it is one of labels, as those that begin like `label --to`."""
    if tuple(names[:2]) == ("path", "root"):
        return None
    return next((table for table in _TABLES if table.told <= set(names)), None)


def is_escaped(name: str, note: str) -> bool:
    """Return whether the note of a row says that a column of it has escapes for control characters."""
    return f"; {printable(name)}: {ESCAPED_CONTROLS}" in f"; {note}"
