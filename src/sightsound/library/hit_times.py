"""When the parts of recordings that a search found were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sightsound.contract.results import Hit
from sightsound.library.tables import LibraryTables
from sightsound.media.facts.times import recorded_at


def with_times(hits: Sequence[Hit], library: LibraryTables) -> list[Hit]:
    """Return hits with the time at which their windows begin, where the library knows when the files were recorded.

    Parameters
    ----------
    hits : sequence of Hit
        The hits.
    library : LibraryTables
        The library that has their items.

    Returns
    -------
    list of Hit
    """
    facts = dict(library.facts_of({hit.item.id or 0 for hit in hits}))
    times = (recorded_at(facts.get(hit.item.id or 0, {}), hit.seconds[0] if hit.seconds else 0.0) for hit in hits)
    return [hit if time is None else replace(hit, recorded=time) for hit, time in zip(hits, times)]
