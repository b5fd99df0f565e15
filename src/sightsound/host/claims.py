"""Names that plugins claim. A name belongs to the plugin that claims it, and to nobody if two do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sightsound.contract.errors import PluginError

T = TypeVar("T")


@dataclass(frozen=True)
class Owner:
    """A plugin as it is named in messages and by the user.

    Parameters
    ----------
    plugin : str
        The name of its entry point.
    distribution : str
        The package that has this entry point; empty for a plugin that was registered by hand.
    """

    plugin: str
    distribution: str = ""

    def __str__(self) -> str:
        return f"{self.plugin!r} ({self.distribution})" if self.distribution else repr(self.plugin)

    def is_named(self, text: str) -> bool:
        """Return whether `text` is the plugin, its distribution, or `DISTRIBUTION:PLUGIN`."""
        return text in (self.plugin, self.distribution, f"{self.distribution}:{self.plugin}")


class Contested(PluginError):
    """A name that several plugins claim, so that the user has to choose one."""


class Claims(Generic[T]):
    """Names of one kind, and what the plugins that claim them mean by them.

    Parameters
    ----------
    kind : str
        What is named, for messages: "embedder", "runtime".
    prefer : sequence of str
        Plugins that get the names that they claim, the first before the others; see `Owner.is_named`.
    """

    def __init__(self, kind: str, prefer: Sequence[str] = ()) -> None:
        self.kind = kind
        self._prefer = prefer
        self._claims: dict[str, list[tuple[Owner, T]]] = {}

    def add(self, name: str, owner: Owner, thing: T) -> None:
        """Let a plugin claim a name."""
        self._claims.setdefault(name, []).append((owner, thing))

    def remove(self, owner: Owner) -> None:
        """Take back all claims of a plugin."""
        kept = {name: [(who, thing) for who, thing in all_ if who != owner] for name, all_ in self._claims.items()}
        self._claims = {name: claims for name, claims in kept.items() if claims}

    def get(self, name: str) -> T | None:
        """Return what the owner of a name means by it, or None if nobody claims it.

        Raises
        ------
        Contested
            If several plugins claim it, and the user prefers none of them.
        """
        claims = self._claims.get(name, ())
        if not claims:
            return None
        owned = self._owned(name)
        if owned is None:
            raise Contested(self.dispute(name))
        return owned

    @property
    def owned(self) -> dict[str, T]:
        """What each name means, without the names that several plugins claim."""
        found = {name: self._owned(name) for name in self._claims}
        return {name: thing for name, thing in found.items() if thing is not None}

    @property
    def unresolved(self) -> list[str]:
        """The names that several plugins claim and that nobody has."""
        return [name for name in self._claims if self._owned(name) is None]

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def may_be(self, name: str, test: Callable[[T], bool]) -> bool:
        """Return whether the owner of a name, or one of those that claim it if it has none, passes a test."""
        owned = self._owned(name)
        return any(test(thing) for _, thing in self._claims[name]) if owned is None else test(owned)

    def contested(self, owner: Owner) -> list[str]:
        """Return the names that a plugin claims and does not have."""
        mine = [name for name, claims in self._claims.items() if any(who == owner for who, _ in claims)]
        return [name for name in mine if not self._belongs(name, owner)]

    def dispute(self, name: str) -> str:
        """Return who claims a name, and what the user can do."""
        owners = [owner for owner, _ in self._claims[name]]
        names = ", ".join(map(str, owners[:-1])) + f" and {owners[-1]}"
        same = len({owner.plugin for owner in owners}) < len(owners)
        choice = "DISTRIBUTION:PLUGIN" if same else "PLUGIN"
        return (
            f"{self.kind} {name!r} is claimed by the plugins {names}; "
            f"choose one: --prefer {choice} (or SIGHTSOUND_PREFER), or --block the others"
        )

    def _owned(self, name: str) -> T | None:
        claim = self._owner_and_thing(name)
        return None if claim is None else claim[1]

    def _belongs(self, name: str, owner: Owner) -> bool:
        claim = self._owner_and_thing(name)
        return claim is not None and claim[0] == owner

    def _owner_and_thing(self, name: str) -> tuple[Owner, T] | None:
        """Return the only claim of a name, or that of the first plugin that the user prefers."""
        claims = self._claims[name]
        if len(claims) == 1:
            return claims[0]
        return next((claim for text in self._prefer for claim in claims if claim[0].is_named(text)), None)
