"""The results of an evaluation, as plain values that survive JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightsound.contract.html import html_table

_SHOWN = 40  # classes in a notebook


@dataclass(frozen=True)
class Estimate:
    """A proportion, or a difference of two, with its 95 % bootstrap interval.

    Attributes
    ----------
    value : float
        The estimate, from 0 to 1 (a difference: from -1 to 1).
    low, high : float
        Bounds of the interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    @classmethod
    def from_json(cls, metadata: Mapping[str, Any]) -> Estimate:
        """Return the estimate whose fields stand in JSON."""
        return cls(**{key: float(value) for key, value in metadata.items()})


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class.

    Attributes
    ----------
    label : str
        Name of the class.
    count : int
        Rows that have the class.
    precision : float
        Proportion of the rows predicted as this class that have it; 0 where none is.
    recall : float
        Proportion of the rows that have this class that are predicted so; 0 where none has it.
    f1 : float
        Harmonic mean of precision and recall.
    """

    label: str
    count: int
    precision: float
    recall: float
    f1: float

    @classmethod
    def from_json(cls, metadata: Mapping[str, Any]) -> ClassScore:
        """Return the scores whose fields stand in JSON."""
        scores = (float(metadata[key]) for key in ("precision", "recall", "f1"))
        return cls(str(metadata["label"]), int(metadata["count"]), *scores)


@dataclass(frozen=True)
class Bin:
    """A bin of the reliability table: rows with a similar probability of the predicted class.

    Attributes
    ----------
    count : int
        Rows in the bin.
    confidence : float
        Their mean probability of the predicted class.
    accuracy : float
        Proportion of them that are correct.
    """

    count: int
    confidence: float
    accuracy: float

    @classmethod
    def from_json(cls, metadata: Mapping[str, Any]) -> Bin:
        """Return the bin whose fields stand in JSON."""
        return cls(int(metadata["count"]), float(metadata["confidence"]), float(metadata["accuracy"]))


@dataclass(frozen=True)
class FeatureScore:
    """How good one kind of features is.

    Attributes
    ----------
    use : str
        `embedding`, `scores` or `both`, as of `FeatureSpec`.
    accuracy : float
        Accuracy of held-out rows with the usual scaling and C.
    """

    use: str
    accuracy: float

    @classmethod
    def from_json(cls, metadata: Mapping[str, Any]) -> FeatureScore:
        """Return the score whose fields stand in JSON."""
        return cls(str(metadata["use"]), float(metadata["accuracy"]))


@dataclass(frozen=True)
class ProbeReport:
    """The evaluation of a classifier on rows that it was not fitted on.

    Attributes
    ----------
    how : str
        Which rows these are.
    rows : int
        Number of rows.
    groups : int
        Number of independent items, or groups given by the user, that the rows belong to.
    accuracy : Estimate
        Proportion of correct rows. With several labels a row is correct where all of its labels are.
    macro_f1 : float
        Mean F1 over the classes that occur in the truth or the predictions.
    classes : tuple of ClassScore
        Scores of each class.
    confusion : tuple of tuples of int
        (k, k) counts of rows by true and predicted class. Empty for several labels.
    error, raw_error : float
        Expected calibration error with and without the temperature.
    reliability : tuple of Bin
        Bins of the reliability table that hold rows.
    majority : float
        Accuracy of always predicting the most frequent class.
    neighbours : Estimate or None
        Accuracy of the five nearest neighbours by cosine similarity.
    corrected : float or None
        Accuracy without the optimism of choosing C, and the scaling where several were compared, on the same rows
        (Tsamardinos et al., Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation,
        Machine Learning 2018).
    curve : tuple
        Learning curve: (groups a class, mean, lowest and highest accuracy over folds and draws).
    notes : tuple of str
        What was left out.
    by_features : tuple of FeatureScore
        The accuracy with each kind of features, in the same folds. Empty where a library keeps no scores.
    """

    how: str
    rows: int
    groups: int
    accuracy: Estimate
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    error: float
    raw_error: float
    reliability: tuple[Bin, ...]
    majority: float
    neighbours: Estimate | None = None
    corrected: float | None = None
    curve: tuple[tuple[int, float, float, float], ...] = ()
    notes: tuple[str, ...] = ()
    by_features: tuple[FeatureScore, ...] = ()

    def __repr__(self) -> str:
        classes = f"{len(self.classes)} classes"
        return f"ProbeReport({self.how}: accuracy {self.accuracy.value:.3f}, {self.rows} rows, {classes})"

    def _repr_html_(self) -> str:
        rows = [
            (each.label, each.count, f"{each.precision:.3f}", f"{each.recall:.3f}", f"{each.f1:.3f}")
            for each in self.classes[:_SHOWN]
        ]
        more = len(self.classes) - len(rows)
        title = f"accuracy {self.accuracy}, macro F1 {self.macro_f1:.3f}, {self.rows} rows, {self.how}"
        last = [(f"and {more} more", *[None] * 4)] if more else []
        return html_table(["class", "rows", "precision", "recall", "F1"], [*rows, *last], title)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as values for JSON."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return values

    @classmethod
    def from_json(cls, metadata: Mapping[str, Any]) -> ProbeReport:
        """Return the report that `to_json` described.

        Raises `TypeError`, `ValueError` or `KeyError` for anything else.
        """
        neighbours, corrected = metadata["neighbours"], metadata["corrected"]
        return cls(
            how=str(metadata["how"]),
            rows=int(metadata["rows"]),
            groups=int(metadata["groups"]),
            accuracy=Estimate.from_json(metadata["accuracy"]),
            macro_f1=float(metadata["macro_f1"]),
            classes=tuple(map(ClassScore.from_json, metadata["classes"])),
            confusion=tuple(tuple(map(int, row)) for row in metadata["confusion"]),
            error=float(metadata["error"]),
            raw_error=float(metadata["raw_error"]),
            reliability=tuple(map(Bin.from_json, metadata["reliability"])),
            majority=float(metadata["majority"]),
            neighbours=None if neighbours is None else Estimate.from_json(neighbours),
            corrected=None if corrected is None else float(corrected),
            curve=tuple((int(a), float(b), float(c), float(d)) for a, b, c, d in metadata["curve"]),
            notes=tuple(map(str, metadata["notes"])),
            by_features=tuple(map(FeatureScore.from_json, metadata.get("by_features", ()))),  # early files have none
        )
