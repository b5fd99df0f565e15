"""From which similarity on two files count as the same: the numbers of a calibration, or the defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

UNCALIBRATED = {"image": 0.9, "sound": 0.999}
"""The least cosine similarity of near-duplicates in a data set, by modality, where no calibration says better.

Measured with EfficientNet-Lite0 on 100 photographs that were saved again at a quality of 60, scaled to 160 pixels or
cropped by 4 pixels: 95 % of the pairs have a similarity of at least 0.93, all of at least 0.91. Pairs of different
photographs have at most 0.83. Different short sounds in long silence reach 0.9997 in YAMNet alone.
"""


UNCALIBRATED_RECORDINGS = 0.98
"""The same for recordings in a library, which `recording_row` stands for, and for their windows.

Measured with YAMNet on the 400 clips of ESC-10: 2 % of the clips have a cosine of 0.971 or more with another clip, and
half of the clips that were compressed to MP3 of 64 kbit/s one of 0.99 or more with the original.
"""


@dataclass(frozen=True)
class MeasuredThreshold:
    """A threshold, and what was measured of it on altered copies of some files.

    Parameters
    ----------
    threshold : float
        The least cosine of near-duplicates.
    recall : mapping of str to float
        Alteration -> proportion of the altered copies that have this cosine with their originals.
    false : float
        Proportion of the originals that have it with another file, or of their windows with one of another file. Where
        a library has near-duplicates already, these count too.
    """

    threshold: float
    recall: Mapping[str, float] = field(default_factory=dict)
    false: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """The thresholds of one space, measured on altered copies of files of the library.

    Parameters
    ----------
    space : str
        The name of the space.
    fingerprint : str
        Its fingerprint.
    files : int
        How many files were altered.
    items : MeasuredThreshold
        For whole files.
    windows : MeasuredThreshold or None
        For single windows of recordings; None for images.
    skipped : tuple of str
        Why files were left out, in one line each.
    """

    space: str
    fingerprint: str
    files: int
    items: MeasuredThreshold
    windows: MeasuredThreshold | None = None
    skipped: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the numbers as JSON, for the settings of a library."""
        windows = None if self.windows is None else asdict(self.windows)
        return json.dumps({"files": self.files, "items": asdict(self.items), "windows": windows})

    @classmethod
    def from_json(cls, space: str, fingerprint: str, text: object) -> Calibration:
        """Return the calibration of a space.

        Parameters
        ----------
        space, fingerprint : str
            The space.
        text : object
            What the settings of a library have.

        Returns
        -------
        Calibration

        Raises
        ------
        ValueError, TypeError, LookupError
            If it cannot be one. Call it inside `Database.decoding`.
        """
        if not isinstance(text, str):
            raise TypeError(f"calibration of {space}: expected text, got {type(text).__name__}")
        found = json.loads(text)
        windows = None if found["windows"] is None else _measured(found["windows"])
        return cls(space, fingerprint, int(found["files"]), _measured(found["items"]), windows)


def setting_name(fingerprint: str) -> str:
    """Return the name of the setting of a library that has the calibration of a space."""
    return f"duplicates {fingerprint}"


def _measured(found: Mapping[str, Any]) -> MeasuredThreshold:
    recall = {str(name): _number(value, 0) for name, value in found["recall"].items()}
    return MeasuredThreshold(_number(found["threshold"], -1), recall, _number(found["false"], 0))


def _number(value: object, lowest: float) -> float:
    if not isinstance(value, int | float) or not lowest <= value <= 1:  # also for NaN
        raise ValueError(f"expected a number from {lowest} to 1, got {value!r}")
    return float(value)
