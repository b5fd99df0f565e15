"""Search by tags: the segments and images with the highest scores for some classes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sightsound.contract.results import Hit
from sightsound.library.filters import Filter, matching_items, tag_condition
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_labels, read_spaces
from sightsound.library.store.validation import text


def find_tagged(
    database: Database,
    tags: Collection[str],
    k: int,
    *,
    spaces: Collection[str] = (),
    min_score: float | None = None,
    where: Filter | None = None,
) -> list[Hit]:
    """Return the segments and images with the highest mean score for any of some classes; see `Library.search_tags`."""
    where = where or Filter()
    hits: list[Hit] = []
    with database.snapshot():
        for space_id, space in read_spaces(database).items():
            if where.modality not in (None, space.modality) or (spaces and space.name not in spaces):
                continue
            hits += [
                hit
                for hit in _hits(database, space_id, space.name, tags, where)
                if min_score is None or hit.score >= min_score
            ]
        hits.sort(key=lambda hit: (-hit.score, hit.item.id, hit.seconds or (), hit.tag))
        return [replace(hit, labels=read_labels(database, hit.item.id or 0)) for hit in hits[:k]]


def _hits(database: Database, space_id: int, name: str, tags: Collection[str], where: Filter) -> list[Hit]:
    """Return a hit for each tag of each matching item in a space, without labels."""
    items = matching_items(database, space_id, where)
    condition, values = tag_condition(tags)
    query = f"SELECT content, label, start, stop, mean FROM tags WHERE space = ? AND {condition}"
    rows = database.rows(query, space_id, *values)
    with database.decoding():
        return [
            Hit(
                item,
                float(mean),
                None if start is None else (float(start), float(stop)),
                tag=text(label),
                spaces=(name,),
            )
            for content, label, start, stop, mean in rows
            for item in items.get(content, ())
        ]
