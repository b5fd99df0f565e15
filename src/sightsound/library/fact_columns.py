"""Facts of files as columns of tables of items and of rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sightsound.contract.card import Modality
from sightsound.contract.row_names import FACT
from sightsound.formats.columns import Column, Kind
from sightsound.library.store.database import Database


def read_fact_columns(database: Database, modality: Modality | None = None) -> list[Column]:
    """Return a column `fact.NAME` for each fact that items of a library have, sorted by name.

    Its kind fits all values: whole numbers, numbers, lists of texts, else texts. It reads all outcomes.

    Parameters
    ----------
    database : Database
        The library.
    modality : {"image", "sound"} or None
        Of items of this modality; None for all.
    """
    types: dict[str, set[str]] = {}
    query = "SELECT DISTINCT j.key, j.type FROM outcomes o, json_each(o.facts) j WHERE j.type <> 'null'"
    if modality is not None:
        query += " AND o.item IN (SELECT i.id FROM items i JOIN contents c ON c.id = i.content WHERE c.modality = ?)"
    for name, kind in database.rows(query, *([] if modality is None else [modality])):
        if isinstance(name, str):
            types.setdefault(name, set()).add(kind)
    return [Column(FACT + name, _kind(types[name]), f"the fact {name} of the file") for name in sorted(types)]


def fact_cells(columns: Sequence[Column], facts: Mapping[str, Any]) -> list[Any]:
    """Return the cells of an item in the columns of `read_fact_columns`."""
    return [_cell(facts.get(column.name.removeprefix(FACT)), column.kind) for column in columns]


def _kind(types: set[str]) -> Kind:
    if types == {"integer"}:
        return "integer"
    if types <= {"integer", "real"}:
        return "number"
    return "texts" if types == {"array"} else "text"


def _cell(value: Any, kind: Kind) -> Any:
    if value is None:
        return [] if kind == "texts" else None
    if kind == "texts":
        return [_text(each) for each in value]
    return _text(value) if kind == "text" else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
