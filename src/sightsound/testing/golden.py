"""Golden files: inputs, and the rows and scores that a model must give for them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sightsound._atomic import atomic_path
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.testing.media import Media
from sightsound.testing.subject import TOLERANCE, Subject

SCORE_TOLERANCE = 1e-3
"""The largest difference of a score that counts as the same."""


@dataclass(frozen=True)
class Golden:
    """The content of a golden file.

    Attributes
    ----------
    media, embeddings, scores : dict of str to ndarray
        By the name of the item: what goes in, and what must come out. Old files and networks without classes have no
        scores.
    made : str
        By which model it was made, for messages.
    revision : int
        The revision of the card of that model.
    tolerance, score_tolerance : float
        The largest distance of a row relative to its length, and the largest difference of a score.
    """

    media: dict[str, Media]
    embeddings: dict[str, Media]
    scores: dict[str, Media]
    made: str
    revision: int
    tolerance: float
    score_tolerance: float


def write_golden(
    file: PathLike,
    model: str | Model,
    media: Mapping[str, Media] | None = None,
    embeddings: Mapping[str, Media] | None = None,
    scores: Mapping[str, Media] | None = None,
    *,
    about: str = "",
    tolerance: float = TOLERANCE,
    score_tolerance: float = SCORE_TOLERANCE,
    host: Host | None = None,
) -> None:
    """Write a golden file: inputs, and the rows and scores that the model must give for them.

    Parameters
    ----------
    file : path-like
        The .npz file to write.
    model : str or Model
        A name, or a loaded model.
    media : mapping of str to ndarray, optional
        Items by name: uint8 RGB (h, w, 3), or float32 (samples,) at the card's rate. By default one generated item.
    embeddings : mapping of str to ndarray, optional
        The rows (n, dim) of each item, best from the network's original program. By default they are the model's own
        of today, which detects later changes only.
    scores : mapping of str to ndarray, optional
        The scores (n, classes) of each item, from the same program. By default those of the model itself; none where
        `embeddings` are given, since these may be of another program.
    about : str
        Where the rows come from.
    tolerance : float
        The largest distance of a row, relative to its length.
    score_tolerance : float
        The largest difference of a score.
    host : Host, optional
        The host that knows the model; by default one with the installed plugins.

    Raises
    ------
    SightsoundError
        If the model is unknown or cannot be loaded, if rows or scores of an item are missing, or if the file cannot be
        written.
    """
    subject = Subject(model, host=host)
    given = dict(media) if media is not None else dict(list(subject.media.items())[-1:])
    if embeddings is None:
        answers = {key: subject.answer(value) for key, value in given.items()}
        embeddings = {key: answer.embeddings for key, answer in answers.items()}
        own = {key: answer.scores for key, answer in answers.items() if answer.scores is not None}
        scores = own if scores is None else scores
    arrays = {f"media/{key}": value for key, value in given.items()}
    for kind, expected in (("embeddings", embeddings), ("scores", scores or {})):
        missing = sorted(set(given) - set(expected)) if expected or kind == "embeddings" else []
        if missing:
            raise SightsoundError(f"golden file: expected {kind} of each item, got none of {missing[0]!r}; add them")
        arrays |= {f"{kind}/{key}": np.asarray(expected[key], np.float32) for key in given if expected}
    facts = {
        "model": subject.card.name,
        "revision": subject.card.revision,
        "tolerance": tolerance,
        "score_tolerance": score_tolerance,
        "about": about,
    }
    with atomic_path(file) as part, part.open("wb") as out:
        np.savez_compressed(out, allow_pickle=False, **arrays, **{key: np.array(value) for key, value in facts.items()})


def read_golden(file: PathLike) -> Golden:
    """Return the content of a golden file. Raises `AssertionError` if the file is another one."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            found = {key: stored[key] for key in stored.files}
    except (AttributeError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise AssertionError(f"golden file: expected a file of testing.write_golden, got {error}") from error
    media = _of_kind(found, "media")
    missing = {"model", "revision", "tolerance", "about", *(f"embeddings/{key}" for key in media)} - set(found)
    assert not missing, f"golden file: expected a file of testing.write_golden, got one without {sorted(missing)}"
    about = f" ({found['about']})" if str(found["about"]) else ""
    return Golden(
        media=media,
        embeddings=_of_kind(found, "embeddings"),
        scores=_of_kind(found, "scores"),
        made=f"made by {found['model']} revision {int(found['revision'])}{about}",
        revision=int(found["revision"]),
        tolerance=float(found["tolerance"]),
        score_tolerance=float(found.get("score_tolerance", np.array(SCORE_TOLERANCE))),
    )


def _of_kind(found: Mapping[str, Media], kind: str) -> dict[str, Media]:
    return {key.partition("/")[2]: value for key, value in found.items() if key.partition("/")[0] == kind}
