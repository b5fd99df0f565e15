"""Where vectors may be compared: a card's name and a fingerprint of everything that makes its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sightsound.contract.card import Card, Modality
from sightsound.contract.errors import SpaceMismatch

_FACTS = ("modality", "dim", "input_shape", "sample_rate", "window", "hop", "tail", "constants", "revision")


@dataclass(frozen=True)
class Stage:
    """A stage plugin that changed the numbers: its name, its version and what it says of its settings."""

    plugin: str
    version: str
    id: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.plugin, self.version, self.id)))


@dataclass(frozen=True)
class Space:
    """`name` is the card's, options included; `facts` is JSON text with sorted keys, which the fingerprint hashes."""

    name: str
    facts: str

    @classmethod
    def of(cls, card: Card, weights: Mapping[str, str], stages: tuple[Stage, ...] = ()) -> Space:
        """The space of a card whose weight files have these SHA-256 sums, changed by these stages in calling order."""
        facts: dict[str, Any] = {name: getattr(card, name) for name in _FACTS}
        facts["weights"] = dict(weights)
        facts["stages"] = [str(stage) for stage in stages]
        return cls(card.name, json.dumps(facts, sort_keys=True, allow_nan=False))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the facts, 64 hexadecimal digits."""
        return hashlib.sha256(self.facts.encode()).hexdigest()

    @property
    def dim(self) -> int:
        return int(json.loads(self.facts)["dim"])

    @property
    def modality(self) -> Modality:
        found: Modality = json.loads(self.facts)["modality"]
        return found

    @property
    def stages(self) -> frozenset[str]:
        """The stage plugins that changed the numbers, each as `plugin version settings`."""
        return frozenset(json.loads(self.facts)["stages"])

    def differences(self, other: Space) -> list[str]:
        """Every field in which `other` is not as this space, as `field: expected ..., got ...`."""
        mine, theirs = (dict(_flat(json.loads(space.facts))) for space in (self, other))
        mine["name"], theirs["name"] = self.name, other.name
        return [
            f"{key}: expected {mine.get(key, 'nothing')}, got {theirs.get(key, 'nothing')}"
            for key in sorted(mine | theirs)
            if mine.get(key) != theirs.get(key)
        ]

    def require(self, other: Space, what: str) -> None:
        """Raises `SpaceMismatch` with the differences where `other` is not this space."""
        if (self.name, self.facts) != (other.name, other.facts):
            raise SpaceMismatch(f"{what}: another space; " + "; ".join(self.differences(other)) + hint(self, other))


def hint(mine: Space, other: Space) -> str:
    """What to do about two spaces of one name: use what made the first, or make it anew."""
    anew = f"or index anew after `sightsound forget --space {mine.name}`"
    needed, surplus = mine.stages - other.stages, other.stages - mine.stages
    if needed:
        return f"; install the plugin {', '.join(sorted(needed))}, {anew}"
    if surplus:
        names = ",".join(sorted({stage.partition(" ")[0] for stage in surplus}))
        return f"; leave the plugin out (--block {names}), {anew}"
    return f"; use the model and weights that made it, {anew}"


def _flat(facts: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(facts, dict) and facts:
        for key, value in facts.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, ", ".join(map(str, facts)) if prefix == "stages" and facts else json.dumps(facts)
