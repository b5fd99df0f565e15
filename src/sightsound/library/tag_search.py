"""Search by tags: the segments and images with the highest scores for some classes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sightsound.contract.results import Hit
from sightsound.library.filters import Filter, matching_contents, tag_condition
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_labels, read_spaces
from sightsound.library.store.validation import number, text


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
                for hit in _hits(database, space_id, space.name, tags, where, max(k, 1))
                if min_score is None or hit.score >= min_score
            ]
        hits.sort(key=lambda hit: (-hit.score, hit.item.id, hit.seconds or (), hit.tag))
        return [replace(hit, labels=read_labels(database, hit.item.id or 0)) for hit in hits[:k]]


def _hits(database: Database, space_id: int, name: str, tags: Collection[str], where: Filter, k: int) -> list[Hit]:
    """Return the best hits in a space, without labels: at least `k` if there are as many."""
    matching = matching_contents(database, space_id, where)
    condition, values = tag_condition(tags)
    query = f"SELECT mean, content, label, start, stop FROM tags WHERE space = ? AND {condition} ORDER BY mean DESC"
    rows = database.rows(query, space_id, *values)
    with database.decoding():
        found = [
            (float(mean), number(content), text(label), None if start is None else (float(start), float(stop)))
            for mean, content, label, start, stop in rows
        ]
    if matching.contents is not None:
        allowed = set(matching.contents.tolist())
        found = [each for each in found if each[1] in allowed]
    if len(found) > k:
        found = [each for each in found if each[0] >= found[k - 1][0]]
    items = matching.items(database, space_id, {content for _, content, *_ in found})
    return [
        Hit(item, mean, seconds, tag=label, spaces=(name,))
        for mean, content, label, seconds in found
        for item in items.get(content, ())
    ]
