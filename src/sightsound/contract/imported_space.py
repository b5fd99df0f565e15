"""The spaces of rows that were made by another program: their facts say where the rows come from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from sightsound.contract.card import Modality
from sightsound.contract.space import Space

_KEY = "imported"


@dataclass(frozen=True)
class Origin:
    """Where imported rows come from.

    Parameters
    ----------
    file : str
        The name of the first file that rows of the space were in, without its folder.
    columns : tuple of str
        Its columns.
    model, version : str
        What the user stated of the network, "" if nothing.
    space, fingerprint : str
        The space of a network of sightsound that the file claims for its rows, "" if none.
    """

    file: str
    columns: tuple[str, ...] = ()
    model: str = ""
    version: str = ""
    space: str = ""
    fingerprint: str = ""

    def __str__(self) -> str:
        stated = " ".join(filter(None, (self.model or self.space, self.version)))
        return f"{self.file} ({stated})" if stated else self.file


def imported_space(name: str, dim: int, modality: Modality, origin: Origin) -> Space:
    """Return the space of imported rows.

    Parameters
    ----------
    name : str
        Its name, which the user chose.
    dim : int
        Length of a row.
    modality : {"image", "sound"}
        What the rows are of.
    origin : Origin
        Where they come from.

    Returns
    -------
    Space
    """
    facts: dict[str, Any] = {"modality": modality, "dim": dim, "stages": [], _KEY: asdict(origin)}
    return Space(name, json.dumps(facts, sort_keys=True))


def origin_of(space: Space) -> Origin | None:
    """Return where the rows of a space were imported from; None for the space of a network."""
    found = json.loads(space.facts).get(_KEY)
    if not isinstance(found, dict):
        return None
    texts = {each.name: str(found.get(each.name, "")) for each in fields(Origin) if each.name != "columns"}
    columns = found.get("columns")
    return Origin(**texts, columns=tuple(map(str, columns)) if isinstance(columns, list) else ())
