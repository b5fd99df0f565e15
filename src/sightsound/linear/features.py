"""What the rows of a probe are, so that it never judges others."""

from __future__ import annotations

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
    """What the rows of a probe are: vectors of a space, windows as they are or pooled to items, labelled by a
    column."""

    space: Space
    level: Level = "item"
    pool: Pool = "mean"
    column: str = "label"

    def __post_init__(self) -> None:
        """Raises `SightsoundError` for a level or a pool that there is not."""
        for name, value, known in (("level", self.level, LEVELS), ("pool", self.pool, POOLS)):
            if value not in known:
                raise SightsoundError(f"{name}: expected one of {', '.join(known)}, got {value!r}")

    @property
    def features(self) -> int:
        """How many numbers a row has."""
        return self.space.dim * (2 if self.level == "item" and self.pool == "mean+std" else 1)

    def to_json(self) -> dict[str, str]:
        return {**vars(self), "space": self.space.name, "facts": self.space.facts}

    @classmethod
    def from_json(cls, told: Mapping[str, str]) -> FeatureSpec:
        """What `to_json` gave. Raises `KeyError` or `TypeError` for anything else."""
        rest = {key: value for key, value in told.items() if key not in ("space", "facts")}
        return cls(Space(told["space"], told["facts"]), **rest)  # type: ignore[arg-type]

    def rows(self, vectors: Floats) -> Floats:
        """The windows of one item (n, dim) -> what the probe takes of it: (n, dim), or one row (1, features)."""
        return vectors if self.level == "window" else pooled(vectors, self.pool)[None]
