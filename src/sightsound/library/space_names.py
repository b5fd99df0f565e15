"""The names of the spaces of a library, and the space that a name means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from sightsound.contract.errors import LibraryError
from sightsound.contract.space import Space

_PREFIX = 8  # digits of a fingerprint that may stand for it, the number that `stats` shows


def named_spaces(spaces: Mapping[Space, int]) -> Iterator[tuple[str, Space, int]]:
    """Yield the name of each space, which no other has, the space, and the number of its vectors.

    The first digits of the fingerprint are added to a name that two spaces have.
    """
    names = Counter(space.name for space in spaces)
    for space, count in spaces.items():
        yield space.name if names[space.name] == 1 else f"{space.name} ({space.fingerprint[:8]})", space, count


def meant_space(text: str, spaces: Iterable[Space]) -> Space:
    """Return the space that a text means: the name of its model, or at least 8 digits of its fingerprint.

    Raises
    ------
    LibraryError
        If it does not mean exactly one space.
    """
    spaces = list(spaces)
    meant = [each for each in spaces if text == each.name or _abbreviates(text, each.fingerprint)]
    if len(meant) != 1:
        several = f"it means {len(meant)} spaces; " if meant else ""
        raise LibraryError(
            f"space {text!r}: expected the name of a space or the first {_PREFIX} digits of its fingerprint; "
            f"{several}there are {_listed(spaces)}"
        )
    return meant[0]


def only_space(spaces: Iterable[Space], library: str) -> Space:
    """Return the space of a library that has one.

    Raises
    ------
    LibraryError
        If it has none or several.
    """
    spaces = list(spaces)
    if len(spaces) != 1:
        raise LibraryError(f"{library}: expected the name of one of its spaces; there are {_listed(spaces)}")
    return spaces[0]


def _listed(spaces: Iterable[Space]) -> str:
    return ", ".join(f"{each.name} ({each.fingerprint[:12]})" for each in spaces) or "none"


def _abbreviates(digits: str, fingerprint: str) -> bool:
    return len(digits) >= _PREFIX and fingerprint.startswith(digits)
