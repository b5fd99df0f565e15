"""The classes of a classifier: what the columns of scores mean."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from sightsound.contract.errors import PluginError


@dataclass(frozen=True)
class ClassList:
    """The classes of scores, one for each column, in order.

    Parameters
    ----------
    name : str
        A short name of the list, such as `imagenet1k` or `audioset_yamnet`.
    labels : tuple of str
        The name of each class, for people to read.
    ids : tuple of str
        An id of each class, all different: AudioSet mids (`/m/05tny_`), WordNet ids (`n02123045`). Empty if the classes
        have none.

    Raises
    ------
    PluginError
        If there is no class, if a field has a wrong type, or if ids are missing or repeated.

    Examples
    --------
    >>> pets = ClassList("pets", ("cat", "dog"))
    >>> len(pets), pets.keys
    (2, ('pets:0', 'pets:1'))
    """

    name: str
    labels: tuple[str, ...]
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        texts = all(
            isinstance(each, tuple) and all(isinstance(t, str) for t in each) for each in (self.labels, self.ids)
        )
        rules = [
            (isinstance(self.name, str) and bool(self.name), f"name: expected a text, got {self.name!r}"),
            (texts, "labels and ids: expected tuples of texts"),
            (texts and len(self.labels) > 0, "labels: expected at least one class"),
            (
                texts and len(self.ids) in (0, len(self.labels)),
                f"ids: expected none, or one for each of {len(self.labels)} labels, got {len(self.ids)}",
            ),
            (texts and len(set(self.ids)) == len(self.ids), "ids: expected all different"),
        ]
        for holds, problem in rules:
            if not holds:
                raise PluginError(f"class list {self.name!r}: {problem}")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"ClassList({self.name!r}, {len(self.labels)} classes, {self.fingerprint[:8]})"

    @property
    def keys(self) -> tuple[str, ...]:
        """What identifies each class: its id, or `NAME:COLUMN` if the classes have no ids."""
        return self.ids or tuple(f"{self.name}:{column}" for column in range(len(self.labels)))

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the ids in order, or of the labels if there are no ids: 64 hexadecimal digits.

        Scores of two lists with the same fingerprint have the same columns, whatever the labels are called.
        """
        return hashlib.sha256(json.dumps(self.ids or self.labels).encode()).hexdigest()


@dataclass(frozen=True)
class NamedClasses:
    """The classes of a network whose card may be absent: what is needed of a `Card` to name what is in a file.

    Parameters
    ----------
    name : str
        The name of the network.
    classes : ClassList
        Its classes.
    """

    name: str
    classes: ClassList

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes in the order of the scores."""
        return self.classes.labels

    @property
    def label_ids(self) -> tuple[str, ...]:
        """The ids of the classes; empty if they have none."""
        return self.classes.ids
