"""Queries that are neither files nor items: words, and vectors with their spaces; and the vectors of any query."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from sightsound.contract import row_names
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.space import Space

Per = Literal["item", "window"]
"""What a search finds: items, or parts of recordings."""
SpaceKey = tuple[str, str]
"""The name and the fingerprint of a space."""


@dataclass
class QueryVectors:
    """The vectors of a query.

    Parameters
    ----------
    vectors : mapping of Space to float32 ndarray of shape (n, dim)
        By space.
    spans : mapping of Space to float64 ndarray of shape (n, 2) or None
        The seconds of each vector. Spaces of images, and of vectors that were given, have none.
    content : bytes or None
        SHA-256 of the query's content. None where vectors were given.
    """

    vectors: dict[Space, Floats] = field(default_factory=dict)
    spans: dict[Space, Seconds | None] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True)
class Text:
    """Words as a query, for networks whose cards say `text`.

    Parameters
    ----------
    text : str
        The words, as in "a red car".

    Raises
    ------
    SightsoundError
        If there are no words.

    Examples
    --------
    >>> hits = sightsound.search(sightsound.Text("a red car"), "zoo")
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise SightsoundError(f"text: expected words, got {self.text!r}")


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors as a query, with the spaces that they belong to.

    Parameters
    ----------
    name : str
        Where they come from, for messages.
    rows : mapping of (str, str) to float32 ndarray of shape (n, dim)
        The vectors by the name and the fingerprint of their space.

    Examples
    --------
    >>> hits = sightsound.search(sightsound.Vectors.load("rows.npz"), "zoo")
    """

    name: str
    rows: Mapping[SpaceKey, Floats]

    @classmethod
    def load(cls, file: PathLike) -> Vectors:
        """Return the vectors in a file of `save_embeddings`, that is of `sightsound embed --out`.

        Parameters
        ----------
        file : path
            The .npz file. Rows of several layers are vectors in several spaces.

        Returns
        -------
        Vectors

        Raises
        ------
        SightsoundError
            If it is another file, or cannot be read.
        """
        try:
            if not os.path.isfile(file):
                raise OSError("no such file")
            with np.load(file, allow_pickle=False) as arrays:
                rows = {_key(arrays, at): _checked(arrays[f"embeddings{at}"]) for at in _suffixes(arrays)}
        except Exception as error:  # a damaged file raises whatever the parsers below NumPy do
            reason = printable(error) if str(error) else type(error).__name__
            raise SightsoundError(
                f"{os.fspath(file)}: expected the .npz of `sightsound embed --out` ({reason}); make it anew"
            ) from error
        return cls(os.path.basename(os.fspath(file)), rows)

    def each(self) -> list[Vectors]:
        """Return a query for each row, for rows of one space or of as many in each.

        Raises
        ------
        SightsoundError
            If the spaces do not have as many rows.
        """
        counts = {len(rows) for rows in self.rows.values()}
        if len(counts) != 1:
            raise SightsoundError(f"{self.name}: expected as many rows in each space, got {sorted(counts)}")
        return [
            Vectors(f"{self.name}, row {number}", {key: rows[number : number + 1] for key, rows in self.rows.items()})
            for number in range(counts.pop())
        ]


def _suffixes(arrays: Any) -> list[str]:
    """Return what follows the names of the arrays of each layer; an empty text for a file without layers."""
    return [f"[{layer}]" for layer in arrays[row_names.LAYERS].tolist()] if row_names.LAYERS in arrays else [""]


def _key(arrays: Any, at: str) -> SpaceKey:
    return str(arrays[f"{row_names.SPACE}{at}"]), str(arrays[f"{row_names.FINGERPRINT}{at}"])


def _checked(rows: Any) -> Floats:
    if rows.ndim != 2 or not len(rows) or rows.dtype.kind != "f" or not np.isfinite(rows).all():
        raise ValueError(f"expected finite rows (n, dim), got {rows.dtype} {rows.shape}")
    found: Floats = rows.astype(np.float32)
    return found
