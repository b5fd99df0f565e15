"""Verify imported rows that claim the space of a network: some of their files are embedded again, and must agree."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.errors import LibraryError, MediaError, SpaceMismatch
from sightsound.contract.imported_space import origin_of
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.results import Item
from sightsound.contract.space import Space
from sightsound.host.host import Host
from sightsound.library.incoming.report import Verification
from sightsound.library.library import Library, open_library
from sightsound.library.scan import scan_files
from sightsound.library.space_reader import KeptScores
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items

FILES = 8
"""How many files are embedded again; all of them where a space has fewer."""
_SECONDS = 1e-3  # by which the seconds of a window may differ
_SCORES = 2e-3  # by which scores may differ, which are stored as float16 and so to 5e-4


def verify_rows(
    library: PathLike | Library, *, space: str = "", host: Host | None = None, device: str = "auto"
) -> list[Verification]:
    """Verify imported rows that claim the space of a network, and let those that agree join it.

    Eight files, those with the lowest SHA-256, are embedded again. If every row agrees with that of the table, within
    the tolerance of the network, the rows are moved to the space of the network.

    Parameters
    ----------
    library : path or Library
        The library.
    space : str
        The name of the space of the imported rows. "" stands for all that claim the space of a network.
    host : Host or None
        Where the network is looked up. None stands for a new host of the installed plugins.
    device : str
        Where it runs, see `Host.load`.

    Returns
    -------
    list of Verification

    Raises
    ------
    SpaceMismatch
        If the installed network is another one, or a row differs; nothing of this space is moved then.
    LibraryError
        If there is no such space, or too few of its files are on this machine.
    UnknownModel
        If no plugin has the network.
    """
    with open_library(library) as opened:
        claimed = [each for each in opened.spaces if (found := origin_of(each)) and found.fingerprint]
        chosen = [each for each in claimed if space in ("", each.name)]
        if not chosen:
            have = ", ".join(repr(each.name) for each in claimed) or "none"
            raise LibraryError(f"{opened.path.name}: expected imported rows that claim a network, there are {have}")
        return verify_spaces(opened, chosen, host or Host(), device)


def verify_spaces(library: Library, spaces: Sequence[Space], host: Host, device: str) -> list[Verification]:
    """Verify the rows of some imported spaces, which claim networks, and let them join those."""
    return [_verified(library, space, host, device) for space in spaces]


def _verified(library: Library, space: Space, host: Host, device: str) -> Verification:
    origin = origin_of(space)
    assert origin is not None
    own = host.space(origin.space)
    if (own.fingerprint, own.dim, own.modality) != (origin.fingerprint, space.dim, space.modality):
        raise SpaceMismatch(
            f"{space.name}: rows claim {origin.space} with fingerprint {origin.fingerprint[:12]}, that installed "
            f"has {own.fingerprint[:12]}; use the model and weights that made them"
        )
    wanted = _count(library, space)
    items = [item for _, item in zip(range(FILES), _there(library, space))]
    if len(items) < min(FILES, wanted):
        raise LibraryError(
            f"{space.name}: expected {min(FILES, wanted)} of its files on this machine, got {len(items)}; "
            "its rows stay imported"
        )
    model, farthest = host.load(origin.space, device), 0.0
    with embed_items(model, map(Job, items)) as embedded:
        for item, found in zip(items, embedded):
            if found.embeddings is None:
                raise MediaError(
                    f"{printable(item)}: {found.outcome.reason or found.outcome.status}; rows stay imported"
                )
            content = library.content(item.id or 0)
            stored = library.vectors(space, content)
            assert stored is not None
            farthest = max(farthest, _difference(space, item, stored, (found.embeddings, found.spans)))
            if farthest > model.card.tolerance:
                raise SpaceMismatch(
                    f"{space.name}: rows of {printable(item)} differ from those that {origin.space} gives "
                    f"(1 - cosine {farthest:.2g}, expected at most {model.card.tolerance:.2g}); its rows stay imported"
                )
            _require_scores(item, library.scores_of(space, content), found.scores, model.card, space)
    with library.writing() as writer:
        rows = writer.join_space(space, own)
    return Verification(space, len(items), farthest, rows)


def _require_scores(item: Item, kept: KeptScores | None, made: Floats | None, card: Card, space: Space) -> None:
    """Raise `SpaceMismatch` if scores that were stored are not those that the network gives. Zeros may be unknown."""
    if kept is None:
        return
    if made is None or card.classes is None or card.classes.fingerprint != kept.classes.fingerprint:
        raise SpaceMismatch(
            f"{space.name}: has scores of {kept.classes!r}, {card.name} does not; its rows stay imported"
        )
    if (np.abs(made - kept.scores)[kept.scores > 0] > _SCORES).any():
        raise SpaceMismatch(f"{space.name}: the scores of {printable(item)} differ; its rows stay imported")


def _count(library: Library, space: Space) -> int:
    query = (
        "SELECT count(DISTINCT r.content) FROM runs r JOIN spaces s ON s.id = r.space"
        " WHERE s.name = ? AND s.fingerprint = ?"
    )
    return int(library.rows(query, space.name, space.fingerprint)[0][0])


def _there(library: Library, space: Space) -> Iterator[Item]:
    """Yield an item for each content of a space whose file is here and unchanged, lowest SHA-256 first."""
    query = (
        "SELECT c.id, c.hash, min(o.item) FROM outcomes o JOIN spaces s ON s.id = o.space JOIN contents c"
        " ON c.id = o.content WHERE s.name = ? AND s.fingerprint = ? AND o.status = 'ok'"
        " AND c.hash > ? GROUP BY c.id ORDER BY c.hash LIMIT 64"
    )
    last = b""
    while found := library.rows(query, space.name, space.fingerprint, last):
        for _, hash_, id_ in found:
            last = hash_
            item = library.item(id_)
            if os.path.isfile(item.file) and next(scan_files([item], lambda _: None)).content == hash_:
                yield item


def largest_difference(a: Floats, b: Floats) -> float:
    """Return the largest 1 - cosine of the rows of two arrays of one shape; rows of zeros differ from all others."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    cosines = np.einsum("ij,ij->i", x, y) / np.where(lengths > 0, lengths, 1)
    return float(np.max(1 - np.where(lengths > 0, cosines, (x == y).all(axis=1)), initial=0.0))


def _difference(
    space: Space, item: Item, stored: tuple[Floats, Seconds | None], made: tuple[Floats, Seconds | None]
) -> float:
    """Return the largest 1 - cosine of rows that were stored and rows that were made anew."""
    (old, old_spans), (new, new_spans) = stored, made
    if old.shape != new.shape:
        raise SpaceMismatch(
            f"{space.name}: expected {len(new)} rows of {printable(item)}, as the network makes them, got {len(old)}; "
            "its rows stay imported"
        )
    if old_spans is not None and new_spans is not None and not np.allclose(old_spans, new_spans, 0, _SECONDS):
        raise SpaceMismatch(f"{space.name}: the seconds of {printable(item)} differ; its rows stay imported")
    return largest_difference(old, new)
