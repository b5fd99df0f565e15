"""Import rows that were made elsewhere, as a space of their own."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from sightsound import media
from sightsound._progress import bar
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Modality
from sightsound.contract.errors import LibraryError, MediaError, SightsoundError
from sightsound.contract.imported_space import Origin, imported_space, origin_of
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.results import Item, Outcome, Rows
from sightsound.contract.space import Space
from sightsound.host.host import Host
from sightsound.library.incoming.gathered_items import MOST_BYTES, GatheredItems
from sightsound.library.incoming.open_rows import open_rows
from sightsound.library.incoming.places import Places
from sightsound.library.incoming.report import ImportReport
from sightsound.library.incoming.row_scores import StatedScores
from sightsound.library.incoming.row_source import RowSource, TableBlock
from sightsound.library.incoming.verify_rows import largest_difference, verify_spaces
from sightsound.library.library import Library, open_library
from sightsound.library.scan import FileScan, scan_files
from sightsound.library.store.commit_pace import CommitPace
from sightsound.library.store.items import KnownItem
from sightsound.library.store.new_items import NewItem
from sightsound.library.store.row_table import PARTIAL_SCORES, RowComparison
from sightsound.library.store.writer import Writer

IMPORTED = " (imported)"
"""Follows the name of a network in the name of the space of rows that claim to be made by it."""
_LOOKED_AT = 1000  # paths that are looked at for the modality
_KEPT_BYTES = 2**26  # of rows of one file that are kept to be compared with stored ones
_EQUAL = 1e-6  # 1 - cosine of rows that are taken for the same, of equal files in different batches


def import_rows(
    file: PathLike,
    library: PathLike | Library,
    *,
    space: str = "",
    labels: Sequence[str] = (),
    root: PathLike | None = None,
    modality: Modality | None = None,
    model: str = "",
    version: str = "",
    verify: bool = False,
    host: Host | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> ImportReport:
    """Import embeddings that another program made, as a space of their own.

    The file has a row for each image or window: its path and its embedding, and maybe `root`, `start` and `stop` or
    `seconds`, the SHA-256 of the file (`content`), and labels. The rows of a file are one after the other. Files that
    are on this machine are hashed; others are recorded with the hash that the table states, or a stand-in of their
    path. What was committed stays if the import breaks off; the same call goes on from there.

    Parameters
    ----------
    file : path
        A `.parquet` file (with `path`, and `embedding` or `vector`) or an `.npz` (with `paths`, and `embeddings`).
    library : path or Library
        The library, which is created if it does not exist.
    space : str
        The name of the space. It may be left out for rows that claim the space of a network of sightsound, such as
        those of `save_embeddings` and `export_rows`: they are in a space "NAME (imported)" then, until they are
        verified.
    labels : sequence of str
        Columns of the table whose values become labels of the files, in place of those that they have in these
        columns; files without a value keep theirs. The columns that `export_rows` writes are taken without being named.
    root : path or None
        The folder that relative paths are below. None stands for the folder of the table.
    modality : {"image", "sound"} or None
        What the rows are of. None looks at the files; rows with seconds are of sounds.
    model, version : str
        The network that made the rows, for the record.
    verify : bool
        Whether to verify rows that claim the space of a network, as `verify_rows` does.
    host, device
        Where the network is looked up, and runs, for `verify`.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    ImportReport
        What was imported, and the rows that were left out, with the reason.

    Raises
    ------
    SightsoundError
        If the file cannot be read, lacks a column, or its rows are in no order.
    LibraryError
        If the library has another space of the name, is damaged, or another process writes to it.
    """
    if modality is not None and modality not in get_args(Modality):
        raise SightsoundError(f"modality: expected one of {', '.join(get_args(Modality))}, got {modality!r}")
    sources, report = open_rows(file, labels), ImportReport()
    if len(sources) > 1 and space:
        raise SightsoundError(f"{os.fspath(file)}: has rows of {len(sources)} layers; leave the name of a space out")
    if space and host is not None and space in host.cards:
        raise LibraryError(f"space {space!r}: is the name of an installed network; choose another name")
    stated = Origin(os.path.basename(os.fspath(file)), model=model, version=version)
    names = [_name(source, space) for source in sources]
    every = [Places(source, root) for source in sources]
    with open_library(library, create=True) as opened:
        for source, name, places in zip(sources, names, every):
            places.add_roots(opened.roots)
            with opened.writing() as writer:
                target = _target(source, opened, name, stated, modality, places, writer)
                report.spaces.append(target)
                own = None if space else _own(opened, source)
                report.notes += _notes(source)
                run = _Import(source, places, opened, writer, target, report, own)
                with bar(source.count, "import", progress, unit="row") as shown:
                    for count in run.rows():
                        shown.update(count)
    if verify:
        claimed = [each for each in report.spaces if (found := origin_of(each)) and found.fingerprint]
        if not claimed:
            raise SightsoundError(f"{os.fspath(file)}: its rows claim no space of a network; leave --verify out")
        with open_library(library) as opened:
            there = [each for each in claimed if each in opened.spaces]
            report.verified = verify_spaces(opened, there, host or Host(), device)
    return report


def _notes(source: RowSource) -> list[str]:
    """Return what there is to say of the scores of a source, and of columns that are not taken."""
    scores, notes = source.stated.scores, list[str]()
    if isinstance(scores, str):
        notes += [f"scores are not imported: {scores}"] if scores else []
    elif not scores.complete:
        notes += [f"of each row the best scores are kept, at most {scores.best}; other classes have 0"]
    if source.stated.left:
        left = printable(",".join(source.stated.left))
        notes += [f"not taken as labels: {left}; --labels {left} takes them"]
    return notes


def _own(library: Library, source: RowSource) -> Space | None:
    """Return the space of a network that the rows claim, if the library has it."""
    claimed = source.stated.space, source.stated.fingerprint
    return next((each for each in library.spaces if (each.name, each.fingerprint) == claimed), None)


def _name(source: RowSource, name: str) -> str:
    """Return the name of the space of the rows of a source; `name` if the user chose one."""
    said = source.stated
    if not name and not (said.space and re.fullmatch("[0-9a-f]{64}", said.fingerprint)):
        raise SightsoundError(f"{source.file}: its rows claim no space of a network; name one (--space NAME)")
    return name or said.space + IMPORTED


def _target(
    source: RowSource,
    library: Library,
    name: str,
    stated: Origin,
    modality: Modality | None,
    places: Places,
    writer: Writer,
) -> Space:
    """Return the space that the rows of a source go to: one that the library has, or a new one."""
    said = source.stated
    known = next((each for each in library.spaces if each.name == name), None)
    if known is not None:
        found = origin_of(known)
        if found is None:
            raise LibraryError(f"space {name!r}: {library.path.name} has vectors of a network in it; name another")
        _require_same(known, found, source, stated, modality)
        return known
    origin = Origin(stated.file, said.columns, stated.model, stated.version, said.space, said.fingerprint)
    return imported_space(name, said.dim, modality or _modality(source, places, writer), origin)


def _require_same(space: Space, found: Origin, source: RowSource, stated: Origin, modality: Modality | None) -> None:
    """Raise `LibraryError` unless the rows of a source can be compared with those of a space."""
    facts = {
        "dimension": (space.dim, source.stated.dim),
        "fingerprint": (found.fingerprint[:12] or "none", source.stated.fingerprint[:12] or "none"),
        "model": (found.model or "none", stated.model or "none"),
        "version": (found.version or "none", stated.version or "none"),
        "modality": (space.modality, modality or space.modality),
    }
    for what, (expected, got) in facts.items():
        if expected != got:
            raise LibraryError(
                f"space {space.name!r}: expected rows of {what} {expected}, as those from {found.file}, got {got}; "
                "name another space"
            )


def _modality(source: RowSource, places: Places, writer: Writer) -> Modality:
    """Return what rows are of: sounds where there are seconds, else what the first file is that is there."""
    if source.stated.timed:
        return "sound"
    for paths, roots in source.places():
        for path, root in dict.fromkeys(list(zip(paths, roots))[:_LOOKED_AT]):
            try:
                found: Modality = media.identify(places.item(path, root, writer.items).file)
                return found
            except (MediaError, ValueError, OSError):
                continue
        break
    return "image"


@dataclass
class _Current:
    """The item whose rows are read: what it is, and what is done with its rows.

    Those of an item that the library has nothing of wait until they are added with others.
    """

    key: tuple[str, str]
    row: int
    item: Item | None = None
    scan: FileScan | None = None
    content: bytes = b""
    how: str = ""
    comparison: RowComparison | None = None
    refused: str = ""
    own: bool = False
    count: int = 0
    stop: float = 0.0
    kept: list[tuple[Floats, Seconds | None]] = field(default_factory=list)
    waiting: list[Rows] | None = None
    labels: dict[str, dict[str, None]] = field(default_factory=dict)

    def file(self, space: Space) -> tuple[tuple[int, int], Modality | None]:
        """Return size and time of its file, and what it is; the modality of the space if it is not there."""
        assert self.scan is not None
        return ((0, 0), space.modality) if self.scan.content is None else (self.scan.stat, self.scan.modality)


class _Import:
    """One run over the rows of a source.

    Parameters
    ----------
    source : RowSource
        The rows.
    places : Places
        Finds their items.
    library : Library
        The library.
    writer : Writer
        Its writer.
    space : Space
        Where they go.
    report : ImportReport
        Where it is counted.
    own : Space or None
        The space of the network that the rows claim, whose rows are not imported again.
    """

    def __init__(
        self,
        source: RowSource,
        places: Places,
        library: Library,
        writer: Writer,
        space: Space,
        report: ImportReport,
        own: Space | None,
    ) -> None:
        self._source, self._places, self._library, self._writer = source, places, library, writer
        self._space, self._report, self._own = space, report, own
        self._scores = source.stated.scores if isinstance(source.stated.scores, StatedScores) else None
        self._id: int | None = None
        self._current: _Current | None = None
        self._pace, self._gathered = CommitPace(writer), GatheredItems(writer)
        self._known: dict[Item, KnownItem | None] = {}

    def rows(self) -> Iterator[int]:
        """Import all rows; yield how many were read since the last time."""
        for block in self._source.blocks():
            self._gathered.flush()
            scans, problems = self._scans(block), block.problems | _time_problems(block.spans)
            for start, stop in _runs(block):
                key = block.paths[start], block.roots[start]
                if self._current is None or self._current.key != key:
                    self._finish()
                    self._current = self._begin(key, block.first + start, scans)
                self._take(self._current, block, problems, start, stop)
            yield len(block.paths)
        self._finish()
        self._gathered.flush()
        self._writer.commit()

    def _scans(self, block: TableBlock) -> dict[tuple[str, str], FileScan | str]:
        """Look at the files of a block, in threads. A text says why a path is none."""
        found: dict[tuple[str, str], FileScan | str] = {}
        items: dict[Item, list[tuple[str, str]]] = {}
        for key in dict.fromkeys(zip(block.paths, block.roots)):
            if self._current is not None and self._current.key == key:
                continue
            try:
                if not key[0]:
                    raise ValueError("it has no path")
                items.setdefault(self._places.item(*key, self._writer.items), []).append(key)
            except ValueError as error:
                found[key] = str(error)
        self._known.clear()
        for scan in scan_files(items, self._find):
            for key in items[scan.item]:
                found[key] = scan
        return found

    def _find(self, item: Item) -> KnownItem | None:
        """Return what the library has of an item; nothing may have changed since it was looked up."""
        if item not in self._known:
            self._known[item] = self._writer.items.find(item)
        return self._known[item]

    def _begin(self, key: tuple[str, str], row: int, scans: dict[tuple[str, str], FileScan | str]) -> _Current:
        """Decide what is done with the rows of an item."""
        scan, current = scans[key], _Current(key, row)
        if isinstance(scan, str):
            current.refused = scan
            return current
        current.item, current.scan = scan.item, scan
        return current

    def _settle(self, current: _Current, stated: str) -> None:
        """Find the content of an item, and whether the library has rows of it."""
        scan, known = current.scan, None
        assert scan is not None and current.item is not None
        self._gathered.settle(scan.item)
        if stated and not re.fullmatch("[0-9a-f]{64}", stated):
            current.refused = f"expected the SHA-256 of the file in 64 digits, got {printable(stated)[:80]!r}"
        elif scan.content is not None:
            if scan.modality is not None and scan.modality != self._space.modality:
                current.refused = f"is of {scan.modality}s, expected rows of {self._space.modality}s; see --modality"
            elif stated and stated != scan.content.hex():
                current.refused = "the file is not the one that the rows are of: its SHA-256 is another one"
            current.content, current.how = scan.content, "hashed"
        elif isinstance(scan.error, OSError):
            known = self._find(scan.item)
            if known is not None and known.modality not in (None, self._space.modality):
                current.refused = f"is of {known.modality}s, expected rows of {self._space.modality}s; see --modality"
            before = known.content if known is not None else None
            if stated and before is not None and before.hex() != stated:
                current.refused = "the library knows another content of the file, which is not there now"
            current.content = bytes.fromhex(stated) if stated else before or _stand_in(scan.item)
            current.how = "stated" if stated else "stand-in" if current.content == _stand_in(scan.item) else "known"
        else:
            current.refused = f"cannot be examined ({scan.error})"
        if current.refused:
            return
        self._gathered.settle(scan.item, current.content)
        if self._own is not None:
            current.own = self._writer.compare_rows(current.content, self._writer.space_id(self._own)) is not None
        if not current.own and self._find(scan.item) is None and self._gathered.fits(current.content):
            current.waiting = []
        elif not current.own and self._writer.has_space(self._space):
            current.comparison = self._writer.compare_rows(current.content, self._space_id())

    def _take(self, current: _Current, block: TableBlock, problems: dict[int, str], start: int, stop: int) -> None:
        """Store rows of an item, or compare them with those that are stored."""
        if current.scan is not None and not current.content and not current.refused:
            stated = next((each for each in block.contents[start:stop] if each), "")
            self._settle(current, stated.lower())
        if current.refused:
            return
        for number in range(start, stop):
            if number in problems:
                self._report.leave_out(block.first + number, current.key[0], problems[number])
        good = np.array([number for number in range(start, stop) if number not in problems], np.int64)
        if not len(good):
            return
        for column, values in block.labels.items():
            into = current.labels.setdefault(column, {})
            for number in good.tolist():
                into |= dict.fromkeys(values[number])
        spans = None if block.spans is None else block.spans[good]
        self._store(current, block.vectors[good], spans, None if block.scores is None else block.scores[good])

    def _store(self, current: _Current, vectors: Floats, spans: Seconds | None, scores: Floats | None) -> None:
        if spans is not None and not np.isnan(spans[:, 1]).all():
            current.stop = max(current.stop, float(np.nanmax(spans[:, 1])))
        if current.comparison is not None:
            current.comparison.add(vectors, spans)
            if (current.count + len(vectors)) * vectors[0].nbytes <= _KEPT_BYTES:
                current.kept.append((vectors, spans))
        elif not current.own:
            assert current.item is not None
            rows, count = [Rows(current.item, spans, vectors, scores)], current.count + len(vectors)
            most = min(self._writer.intake.stretches.room(self._space_id()), MOST_BYTES // vectors[0].nbytes)
            if current.waiting is not None and count <= most:
                current.waiting += rows
            else:
                self._add_rows(current, rows)
        current.count += len(vectors)

    def _add_rows(self, current: _Current, rows: list[Rows]) -> None:
        """Store rows of an item that are too many to wait, and those before them."""
        if not current.count or current.waiting:
            self._record_item(current)
        for each in [*(current.waiting or ()), *rows]:
            self._writer.add_rows(each, self._space_id())
        current.waiting = None

    def _record_item(self, current: _Current) -> None:
        assert current.item is not None
        known = self._writer.items.find(current.item)
        if known is None or known.content != current.content:
            stat, kind = current.file(self._space)
            self._writer.items.record(current.item, stat, current.content, kind, renamed=False)

    def _finish(self) -> None:
        """Record the outcome of the item whose rows were read."""
        current, self._current = self._current, None
        if current is None:
            return
        if current.refused:
            self._report.leave_out(current.row, current.key[0], current.refused)
        elif current.count:
            self._record(current)
        self._pace.add(1, current.count * 4 * self._space.dim)

    def _record(self, current: _Current) -> None:
        item, compared = current.item, current.comparison
        assert item is not None and current.scan is not None
        self._known.pop(item, None)
        if compared is not None and not (compared.same or self._agrees(current)):
            reason = f"the library has other rows of it in space {self._space.name}; forget it first"
            self._report.leave_out(current.row, current.key[0], reason)
            return
        if compared is not None or current.own:
            self._record_item(current)
        space = self._writer.space_id(self._own) if current.own and self._own else self._space_id()
        self._report.absent += current.scan.content is None
        if (compared is not None or current.own) and self._writer.outcomes.status(item, space) == "ok":
            self._report.unchanged += 1
        else:
            self._report.items += 1
            if compared is None and not current.own:
                self._report.rows += current.count
                self._report.scores += current.count if self._scores else 0
            if current.waiting is not None:
                stat, kind = current.file(self._space)
                labels = [(column, value) for column, values in current.labels.items() for value in values]
                outcomes = [(space, self._outcome(current))]
                self._gathered.add(NewItem(item, stat, current.content, kind, labels, (), outcomes), current.waiting)
                return
            if not (current.own and self._writer.outcomes.copy(item, current.content, space)):
                self._writer.outcomes.record(self._outcome(current), space)
        id_ = self._writer.items.id(item)
        for column, values in current.labels.items():
            if values:
                self._writer.items.label(id_, column, values)

    def _outcome(self, current: _Current) -> Outcome:
        assert current.item is not None
        facts = {"imported": os.path.basename(self._source.file), "content": current.how}
        if self._scores and not self._scores.complete:
            facts[PARTIAL_SCORES] = f"best {self._scores.best}"
        seconds = current.stop if self._space.modality == "sound" else None
        return Outcome(current.item, "ok", seconds=seconds, facts=facts)

    def _agrees(self, current: _Current) -> bool:
        """Return whether rows are those that are stored, but for rounding: equal files may have been in two batches."""
        rows = [vectors for vectors, _ in current.kept]
        if sum(map(len, rows)) < current.count:
            return False
        self._writer.commit()
        stored = self._library.vectors(self._space, current.content)
        if stored is None or len(stored[0]) != current.count:
            return False
        spans = [spans for _, spans in current.kept if spans is not None]
        if spans and stored[1] is not None and not np.array_equal(np.concatenate(spans), stored[1], equal_nan=True):
            return False
        return largest_difference(stored[0], np.concatenate(rows)) <= _EQUAL

    def _space_id(self) -> int:
        """Return the number of the space, which is added before its first row."""
        if self._id is None:
            self._id = self._writer.space_id(self._space)
            if self._scores:
                self._writer.keep_scores(self._id, self._scores.kind, self._scores.classes)
        return self._id


def _runs(block: TableBlock) -> Iterator[tuple[int, int]]:
    """Yield the first row, and the one after the last, of each item of a block."""
    keys, start = list(zip(block.paths, block.roots)), 0
    for number in range(1, len(keys) + 1):
        if number == len(keys) or keys[number] != keys[start] or not keys[start][0]:
            yield start, number
            start = number


def _time_problems(spans: Seconds | None) -> dict[int, str]:
    """Return the rows whose seconds cannot be."""
    if spans is None:
        return {}
    with np.errstate(invalid="ignore"):
        good = np.isfinite(spans).all(axis=1) & (spans[:, 0] >= 0) & (spans[:, 1] >= spans[:, 0])
    bad = np.flatnonzero(~good & ~np.isnan(spans).all(axis=1)).tolist()
    return {n: f"expected seconds from start to stop, got {spans[n, 0]:g} to {spans[n, 1]:g}" for n in bad}


def _stand_in(item: Item) -> bytes:
    """Return what stands for the SHA-256 of a file that is not on this machine."""
    return hashlib.sha256(b"sightsound: no file\0" + os.fsencode(item.root) + b"\0" + os.fsencode(item.path)).digest()
