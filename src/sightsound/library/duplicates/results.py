"""What `find_duplicates` returns: groups of files, or of parts of recordings, read as they are iterated over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item
from sightsound.library.duplicates.files import FileFacts, read_files
from sightsound.library.duplicates.keep import Keep
from sightsound.library.duplicates.rows import Ints
from sightsound.library.duplicates.threshold import Calibration
from sightsound.library.library import Library, open_library

_FILES = 1000  # that are read at once


@dataclass(frozen=True)
class DuplicateFile:
    """One file of a group, or a part of a recording.

    Parameters
    ----------
    item : Item
        The file.
    keep : bool
        Whether it is the one to keep.
    similarity : float
        Its cosine with the one to keep; 1.0 for that one, and for files of the same bytes.
    reason : str
        Why it is to be kept, or what it has instead.
    same_bytes : bool
        Whether it has the same content as the one to keep.
    seconds : tuple of float or None
        Start and stop of the part; None for a whole file.
    """

    item: Item
    keep: bool
    similarity: float
    reason: str
    same_bytes: bool = False
    seconds: tuple[float, float] | None = None


@dataclass(frozen=True)
class DuplicateGroup:
    """Files, or parts of recordings, that look or sound the same.

    Parameters
    ----------
    number : int
        From 1.
    files : tuple of DuplicateFile
        The one to keep, and then the others, the most similar first.
    """

    number: int
    files: tuple[DuplicateFile, ...]

    def __str__(self) -> str:
        return " = ".join(f"{each.item}{_span(each.seconds)}" for each in self.files)


@dataclass(frozen=True, eq=False)
class Members:
    """The files of all groups, in arrays.

    Parameters
    ----------
    group : ndarray of int64 (n,)
        The number of the group from 0, ascending; the one to keep comes first.
    items : ndarray of int64 (n,)
        Ids of items.
    similarity : ndarray of float32 (n,)
        The cosine with the one to keep.
    seconds : ndarray of float64 (n, 2) or None
        Start and stop of parts.
    """

    group: Ints
    items: Ints
    similarity: Floats
    seconds: Seconds | None = None


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The near-duplicates of one space of a library, an iterable of `DuplicateGroup`.

    The files of the groups are read from the library while it is iterated over; those that are gone from it by then
    are left out.

    Parameters
    ----------
    space : str
        The name of the space.
    fingerprint : str
        Its fingerprint.
    threshold : float
        The least cosine.
    calibration : Calibration or None
        What was measured of the threshold; None for any other.
    given : bool
        Whether the threshold was given; else it is a default where there is no calibration.
    keep : {"best", "largest", "oldest"}
        By which rule files are kept.
    windows : bool
        Whether the groups are of parts of recordings.
    compared : int
        How many files, or windows, were compared.
    kind : {"", "lists"}
        "lists" if only rows in nearby lists were compared, "" if all were.
    recall : float or None
        Proportion of similar pairs that were found in nearby lists, of pairs of up to 1,000 rows that were compared
        with all others. None if all rows were, and where these have no similar pairs.
    measured : int
        How many pairs this was measured on.
    library : path or Library
        Where the files are read.
    members : Members
        The files of all groups, in arrays.
    """

    space: str
    fingerprint: str
    threshold: float
    calibration: Calibration | None
    given: bool
    keep: Keep
    windows: bool
    compared: int
    kind: str = ""
    recall: float | None = None
    measured: int = 0
    library: PathLike | Library = field(default="", repr=False)
    members: Members = field(
        default_factory=lambda: Members(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)),
        repr=False,
    )

    @property
    def groups(self) -> int:
        """The number of groups."""
        return int(self.members.group[-1]) + 1 if len(self.members.group) else 0

    @property
    def others(self) -> int:
        """The number of files, or parts, that are not kept."""
        return len(self.members.group) - self.groups

    def __iter__(self) -> Iterator[DuplicateGroup]:
        members = self.members
        with open_library(self.library) as library:
            first = 0
            while first < len(members.group):
                last = min(len(members.group), first + _FILES)
                last = int(np.searchsorted(members.group, members.group[last - 1], "right"))  # whole groups
                files = read_files(library, self.fingerprint, self.space, members.items[first:last], self.keep)
                for start, stop in _stretches(members.group[first:last]):
                    group = self._group(members, first + start, first + stop, files)
                    if group is not None:
                        yield group
                first = last

    def _group(self, members: Members, start: int, stop: int, files: dict[int, FileFacts]) -> DuplicateGroup | None:
        there = [at for at in range(start, stop) if int(members.items[at]) in files]
        if len(there) < 2 or there[0] != start:
            return None
        kept = files[int(members.items[start])]
        found: list[DuplicateFile] = []
        for at in there:
            each = files[int(members.items[at])]
            seconds = (
                None if members.seconds is None else (float(members.seconds[at, 0]), float(members.seconds[at, 1]))
            )
            is_kept, same = at == start, at != start and each.content == kept.content
            reason = f"{self.keep}: {each.text}" if is_kept else f"{'same bytes' if same else 'similar'}: {each.text}"
            found.append(DuplicateFile(each.item, is_kept, float(members.similarity[at]), reason, same, seconds))
        return DuplicateGroup(int(members.group[start]) + 1, tuple(found))


def _stretches(groups: Ints) -> Iterator[tuple[int, int]]:
    yield from itertools.pairwise([0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)])


def _span(seconds: tuple[float, float] | None) -> str:
    return "" if seconds is None else f" {seconds[0]:.1f}-{seconds[1]:.1f}"
