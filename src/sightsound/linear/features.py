"""Which rows a classifier takes, so that it never classifies others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.contract.pooling import POOLS, Pool, pooled
from sightsound.contract.space import Space

Level = Literal["item", "window"]
LEVELS: tuple[str, ...] = get_args(Level)


@dataclass(frozen=True)
class FeatureSpec:
    """Which rows a classifier takes.

    Attributes
    ----------
    space : Space
        The space of the vectors.
    level : {'item', 'window'}
        `item`: one row for an item. `window`: one row for each window of a sound.
    pool : {'mean', 'max', 'mean+max', 'mean+std'}
        How the windows of an item become a row, see `pooled`.
    column : str
        Column of the labels it was fitted to.

    Raises
    ------
    SightsoundError
        For another level or pool.
    """

    space: Space
    level: Level = "item"
    pool: Pool = "mean"
    column: str = "label"

    def __post_init__(self) -> None:
        for name, value, known in (("level", self.level, LEVELS), ("pool", self.pool, POOLS)):
            if value not in known:
                raise SightsoundError(f"{name}: expected one of {', '.join(known)}, got {value!r}")

    @property
    def features(self) -> int:
        """Number of features of a row."""
        return self.space.dim * (2 if self.level == "item" and "+" in self.pool else 1)

    def to_json(self) -> dict[str, str]:
        """Return the fields as values for JSON."""
        return {**vars(self), "space": self.space.name, "facts": self.space.facts}

    @classmethod
    def from_json(cls, metadata: Mapping[str, str]) -> FeatureSpec:
        """Return what `to_json` described.

        Raises `KeyError`, `TypeError` or `ValueError` for anything else.
        """
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("a feature specification that is not of texts")
        rest = {key: value for key, value in metadata.items() if key not in ("space", "facts")}
        spec = cls(Space(metadata["space"], metadata["facts"]), **rest)  # type: ignore[arg-type]
        try:
            if spec.features < 1 or not isinstance(json.loads(spec.space.facts), dict):
                raise ValueError("a space without dimensions")
        except RecursionError as error:
            raise ValueError("a space of nested facts") from error
        return spec

    def rows(self, vectors: Floats) -> Floats:
        """Return the rows of one item with window vectors (n, dim): (n, dim), or (1, features) for an item."""
        return vectors if self.level == "window" else pooled(vectors, self.pool)[None]
