"""Which rows a classifier takes, so that it never classifies others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from sightsound.contract.arrays import Floats, unit_rows
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import SightsoundError
from sightsound.contract.pooling import POOLS, Pool, pooled
from sightsound.contract.space import Space

Level = Literal["item", "window"]
LEVELS: tuple[str, ...] = get_args(Level)
Use = Literal["embedding", "scores", "both"]
USES: tuple[Use, ...] = get_args(Use)
_MOST_CLASSES = 2**24
_REMEDY = "keep them: sightsound index --scores"


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
    use : {'embedding', 'scores', 'both'}
        What a row is made of: the vectors, the square roots of the scores of the network's classes, or both, each
        scaled to length 1, side by side.
    score_list : str
        Fingerprint of the `ClassList` of the scores; empty where none are used.
    score_count : int
        Number of its classes; 0 where none are used.

    Raises
    ------
    SightsoundError
        For another level, pool or use.
    """

    space: Space
    level: Level = "item"
    pool: Pool = "mean"
    column: str = "label"
    use: Use = "embedding"
    score_list: str = ""
    score_count: int = 0

    def __post_init__(self) -> None:
        rules = (("level", self.level, LEVELS), ("pool", self.pool, POOLS), ("use", self.use, USES))
        for name, value, known in rules:
            if value not in known:
                raise SightsoundError(f"{name}: expected one of {', '.join(known)}, got {value!r}")

    @property
    def features(self) -> int:
        """Number of features of a row."""
        columns = {"embedding": self.space.dim, "scores": self.score_count, "both": self.space.dim + self.score_count}
        return columns[self.use] * (2 if self.level == "item" and "+" in self.pool else 1)

    @property
    def uses_scores(self) -> bool:
        """Whether rows are made of scores, alone or beside the vectors."""
        return self.use != "embedding"

    def using(self, use: Use, classes: ClassList | None = None) -> FeatureSpec:
        """Return what takes another kind of features of the same items.

        Parameters
        ----------
        use : {'embedding', 'scores', 'both'}
            The kind.
        classes : ClassList, optional
            The classes of the scores, where these are used.

        Returns
        -------
        FeatureSpec
        """
        if use == "embedding" or classes is None:
            return replace(self, use=use, score_list="", score_count=0)
        return replace(self, use=use, score_list=classes.fingerprint, score_count=len(classes))

    def to_json(self) -> dict[str, str]:
        """Return the fields as values for JSON; those of scores where these are used."""
        texts = {"space": self.space.name, "facts": self.space.facts}
        texts |= {"level": self.level, "pool": self.pool, "column": self.column}
        if self.uses_scores:
            texts |= {"use": self.use, "score_list": self.score_list, "score_count": str(self.score_count)}
        return texts

    @classmethod
    def from_json(cls, metadata: Mapping[str, str]) -> FeatureSpec:
        """Return what `to_json` described.

        Raises `KeyError`, `TypeError` or `ValueError` for anything else.
        """
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("a feature specification that is not of texts")
        rest: dict[str, object] = {key: value for key, value in metadata.items() if key not in ("space", "facts")}
        if "score_count" in metadata:
            rest["score_count"] = int(metadata["score_count"])
        spec = cls(Space(metadata["space"], metadata["facts"]), **rest)  # type: ignore[arg-type]
        if not (0 < spec.score_count < _MOST_CLASSES if spec.uses_scores else spec.score_count == 0):
            raise ValueError("a wrong number of scores")
        try:
            if spec.features < 1 or not isinstance(json.loads(spec.space.facts), dict):
                raise ValueError("a space without dimensions")
        except RecursionError as error:
            raise ValueError("a space of nested facts") from error
        return spec

    def require_classes(self, classes: ClassList | None) -> None:
        """Raise `SightsoundError` where scores are used, and a network or library has none of these classes."""
        problem = self.lacks(classes)
        if problem is not None:
            raise SightsoundError(f"{self.space.name}: {problem}")

    def lacks(self, classes: ClassList | None) -> str | None:
        """Return why the scores of some classes, or no scores, are not those that are used, or None."""
        if not self.uses_scores or (classes is not None and classes.fingerprint == self.score_list):
            return None
        if classes is None:
            return f"the probe needs the scores of {self.score_count} classes, got none; {_REMEDY}"
        return (
            f"the probe needs scores of the class list {self.score_list[:12]}, got {classes.fingerprint[:12]} "
            f"({classes.name}); {_REMEDY} with the network it was fitted with, or fit it anew"
        )

    def rows(self, vectors: Floats, scores: Floats | None = None) -> Floats:
        """Return the rows of one item: (n, features) of windows, or (1, features) of the item.

        Parameters
        ----------
        vectors : float32 array (n, dim)
            The vectors of its windows.
        scores : float32 array (n, classes), optional
            The scores of its windows, as a library keeps them.

        Returns
        -------
        float32 array (n or 1, features)

        Raises
        ------
        SightsoundError
            If scores are used and none are given, or those of other windows or classes.
        """
        if not self.uses_scores:
            return self._pooled(vectors)
        if scores is None:
            self.require_classes(None)
        if scores is None or scores.shape != (len(vectors), self.score_count):
            got = None if scores is None else scores.shape
            expected = (len(vectors), self.score_count)
            raise SightsoundError(f"{self.space.name}: expected scores of shape {expected}, got {got}; {_REMEDY}")
        return self.joined(None if self.use == "scores" else self._pooled(vectors), self.score_rows(scores))

    def score_rows(self, scores: Floats) -> Floats:
        """Return the rows of the square roots of the scores (n, classes) of one item."""
        return self._pooled(np.sqrt(scores))

    def joined(self, embeddings: Floats | None, scores: Floats) -> Floats:
        """Return rows as this takes them, made of pooled vectors and pooled roots of scores.

        Parameters
        ----------
        embeddings : float32 array (n, d) or None
            The rows of vectors alone.
        scores : float32 array (n, c)
            The rows of scores alone, as `score_rows` makes them.

        Returns
        -------
        float32 array (n, features)
        """
        if self.use == "both" and embeddings is not None:
            return np.hstack([unit_rows(embeddings), unit_rows(scores)])
        return scores if self.use == "scores" or embeddings is None else embeddings

    def split(self, rows: Floats) -> tuple[Floats, Floats | None]:
        """Return the vectors and the scores of windows that stand side by side, as `tag` hands them on."""
        return (rows[:, : self.space.dim], rows[:, self.space.dim :]) if self.uses_scores else (rows, None)

    def _pooled(self, rows: Floats) -> Floats:
        return rows if self.level == "window" else pooled(rows, self.pool)[None]
