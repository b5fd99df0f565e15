"""Spaces: two vectors may be compared if everything that determines their numbers is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sightsound.contract.card import Card, Modality
from sightsound.contract.errors import SpaceMismatch
from sightsound.contract.frozen_json import thaw

_FACTS = ("modality", "dim", "input_shape", "sample_rate", "window", "hop", "tail", "constants", "revision")


@dataclass(frozen=True)
class Stage:
    """A plugin that changed the rows in one of the stages.

    Parameters
    ----------
    plugin, version : str
        Its name and its version.
    id : str
        Its settings, as `stage_id` returned them.
    """

    plugin: str
    version: str
    id: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.plugin, self.version, self.id)))


@dataclass(frozen=True, repr=False)
class Space:
    """The space of a model's rows: its name and everything that determines its numbers.

    Parameters
    ----------
    name : str
        The name of the card with its options.
    facts : str
        JSON with sorted keys: fields of the card, the SHA-256 of the weight files, and the stage plugins.
    """

    name: str
    facts: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.fingerprint[:12]})"

    @classmethod
    def of(cls, card: Card, weights: Mapping[str, str], stages: tuple[Stage, ...] = ()) -> Space:
        """Return the space of a card.

        Parameters
        ----------
        card : Card
            The card of the model.
        weights : mapping of str to str
            The SHA-256 of each weight file by its name.
        stages : tuple of Stage
            The plugins that change its rows, in calling order.

        Returns
        -------
        Space
            It has the name of the card.
        """
        facts: dict[str, Any] = {name: getattr(card, name) for name in _FACTS}
        facts["weights"] = weights
        facts["stages"] = [str(stage) for stage in stages]
        return cls(card.name, json.dumps(thaw(facts), sort_keys=True, allow_nan=False))

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the facts, 64 hexadecimal digits."""
        return hashlib.sha256(self.facts.encode()).hexdigest()

    @property
    def dim(self) -> int:
        """The length of a row."""
        return int(json.loads(self.facts)["dim"])

    @property
    def modality(self) -> Modality:
        """What the model embeds: "image" or "sound"."""
        modality: Modality = json.loads(self.facts)["modality"]
        return modality

    @property
    def stages(self) -> frozenset[str]:
        """The stage plugins that changed the rows, each as `plugin version settings`."""
        return frozenset(json.loads(self.facts)["stages"])

    def differences(self, other: Space) -> list[str]:
        """Return one line `field: expected ..., got ...` for each field in which `other` differs from this space."""
        mine, theirs = (dict(_flat(json.loads(space.facts))) for space in (self, other))
        mine["name"], theirs["name"] = self.name, other.name
        return [
            f"{key}: expected {mine.get(key, 'nothing')}, got {theirs.get(key, 'nothing')}"
            for key in sorted(mine | theirs)
            if mine.get(key) != theirs.get(key)
        ]

    def require(
        self, other: Space, what: str, *, anew: str = "", remedies: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Check that another space is this one.

        Parameters
        ----------
        other : Space
            The space of the vectors that are about to be compared with those of this one.
        what : str
            What belongs to this space; the error begins with it.
        anew, remedies
            See `hint`.

        Raises
        ------
        SpaceMismatch
            If it is another one; the text lists the differences and what to do.
        """
        if (self.name, self.facts) != (other.name, other.facts):
            advice = hint(self, other, anew, remedies)
            raise SpaceMismatch(f"{what}: another space; " + "; ".join(self.differences(other)) + advice)


def hint(expected: Space, got: Space, anew: str = "", remedies: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return what the user can do about two different spaces.

    Parameters
    ----------
    expected : Space
        The space of what is stored.
    got : Space
        The space that the installed model and plugins give.
    anew : str
        How to make anew what is stored, such as "or fit the probe anew". By default the advice is for libraries.
    remedies : mapping of str to str
        What brings back a stage plugin, as far as it is known; by default "install the plugin ...".

    Returns
    -------
    str
        The advice, which begins with "; ".
    """
    anew = anew or f"or index anew after `sightsound forget --space {expected.name}`"
    needed, surplus = expected.stages - got.stages, got.stages - expected.stages
    if needed:
        steps = [remedies.get(stage, f"install the plugin {stage}") for stage in sorted(needed)]
        return f"; {', '.join(steps)}, {anew}"
    if surplus:
        names = ",".join(sorted({stage.partition(" ")[0] for stage in surplus}))
        return f"; leave the plugin out (--block {names}), {anew}"
    return f"; use the model and weights that made it, {anew}"


def _flat(facts: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested facts as `outer.inner` and their text."""
    if isinstance(facts, dict) and facts:
        for key, value in facts.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, ", ".join(map(str, facts)) if prefix == "stages" and facts else json.dumps(facts)
