"""The Python face of the pipeline: paths -> rows, without a library."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from sightsound import media
from sightsound._atomic import atomic_path
from sightsound._progress import bar
from sightsound.contract import layer_names
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Modality
from sightsound.contract.errors import MediaError, SightsoundError
from sightsound.contract.pooling import Pool, pooled
from sightsound.contract.results import Item, Outcome, Row, Rows
from sightsound.contract.space import Space
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.media import files
from sightsound.pipeline import run

PathLike = str | os.PathLike[str]


def embed(
    paths: PathLike | Sequence[PathLike],
    model: str | None = None,
    *,
    host: Host | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool | None = None,
    layers: str | Sequence[str] = (),
    layer_pool: str = "",
) -> Embeddings:
    """Embeds pictures or sounds; iterate over the rows, or ask for a matrix.

    >>> for row in sightsound.embed("photos"): print(row.item, row.seconds, row.embedding.shape)
    >>> X = sightsound.embed(["a.jpg", "b.jpg"]).matrix()
    >>> X = sightsound.embed("photos", layers=["blocks.3", "blocks.5"]).matrices()["blocks.3"]

    Folders are walked. Without a `model` the first picture or sound decides which default is used; files of the other
    modality are refused then, since their rows would be of another space. Nothing is read before the first row.
    `layers` and `layer_pool` (avg, max, std, joined by +; flat) stand for the options `layer` and `pool` of the model's
    name: a row is then what these layers give, one after the other.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    layers = [layers] if isinstance(layers, str) else list(layers)
    return Embeddings(paths, model, host or Host(), device, batch_size, progress, layers, layer_pool)


class Embeddings:
    """An iterable of `Row`; every pass reads the files anew.

    `outcomes` says what became of each file, in order, once it was reached. A file that fails gives a warning that
    names it, and no rows.
    """

    def __init__(
        self,
        paths: Sequence[PathLike],
        model: str | None,
        host: Host,
        device: str,
        batch_size: int | None,
        progress: bool | None,
        layers: Sequence[str] = (),
        layer_pool: str = "",
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._found = list(files.find_items(paths))
        self._layers, self._layer_pool = layers, layer_pool
        self._loaded: Model | None = None
        self._name = model
        self._host, self._device = host, device
        self._batch_size, self._progress = batch_size, progress

    def __iter__(self) -> Iterator[Row]:
        for rows in self.parts():
            for i, embedding in enumerate(rows.embeddings):
                seconds = None if rows.spans is None else (float(rows.spans[i, 0]), float(rows.spans[i, 1]))
                yield Row(rows.item, seconds, embedding, None if rows.scores is None else rows.scores[i])

    def parts(self) -> Iterator[Rows]:
        """The same rows, in the pieces that the network gave them. Of a recording that breaks off in the middle the
        rows before have been given by then; `outcomes` says that it failed."""
        return (event for event in self._events() if isinstance(event, Rows))

    def each(self, *, warn: bool = False) -> Iterator[tuple[Outcome, Floats | None, Seconds | None]]:
        """The files one by one in order, those that fail too: what became of each, its rows float32 (n, dim) and their
        seconds float64 (n, 2); None where there are none. Of files that fail `warn` says whether to warn, too."""
        events = self._events(warn)
        for found in self._found:
            if isinstance(found, Outcome):
                yield found, None, None
                continue
            parts: list[Rows] = []
            outcome = None
            while outcome is None:
                event = next(events)
                if isinstance(event, Rows):
                    parts.append(event)
                else:
                    outcome = event
            rows = np.concatenate([part.embeddings for part in parts]) if parts and outcome.status == "ok" else None
            spans = [part.spans for part in parts if part.spans is not None]
            yield outcome, rows, np.concatenate(spans) if spans and rows is not None else None
        next(events, None)  # which notes what cannot be read, where there is nothing else

    def _events(self, warn: bool = True) -> Iterator[Rows | Outcome]:
        """Rows, and an outcome after the last of each file."""
        self.outcomes = []
        items = [found for found in self._found if isinstance(found, Item)]
        for unread in (found for found in self._found if isinstance(found, Outcome)):
            self._note(unread, warn)
        if not items:
            return
        name = layer_names.named(self._model(items), self._layers, self._layer_pool)
        model = self._loaded = self._host.load(name, self._device)
        jobs = [run.Job(item) for item in items]
        with (
            contextlib.closing(run.run(model, jobs, batch_size=self._batch_size)) as batches,
            bar(len(items), "embed", self._progress) as files,
        ):
            for event in (event for events in batches for event in events):
                if isinstance(event, Outcome):
                    self._note(event, warn)
                    files.update()
                yield event

    def matrix(self, pool: Pool | None = "mean") -> Floats:
        """float32 (files, dim), one row for each file in order, its windows pooled (see `pooling.pooled`); with
        `pool=None` float32 (windows, dim), all rows as they come. Raises what a file failed with, noting the file."""
        whole = [rows for _, rows, _ in self.each(warn=True) if rows is not None]
        bad = next((outcome for outcome in self.outcomes if outcome.status != "ok"), None)
        if bad is not None:
            raise bad.error or MediaError(f"{bad.item}: {bad.reason or bad.status}")
        if not whole:
            raise SightsoundError("nothing to embed: no files; name a file or a folder with files in it")
        if pool is None:
            return np.concatenate(whole)
        return np.stack([pooled(rows, pool) for rows in whole])

    def matrices(self, pool: Literal["mean", "max"] | None = "mean") -> dict[str, Floats]:
        """`matrix(pool)` in its parts: for each layer that the model names, in order, float32 (files or windows, its
        dim). Raises `SightsoundError` for a model that names none."""
        found = self.split(self.matrix(pool))
        if "" in found:
            raise SightsoundError(f"{self.spaces()[''].name}: expected a model that names layers; use matrix()")
        return found

    def spaces(self) -> dict[str, Space]:
        """The space of each layer that the model of the last pass names, as if it were alone; without layers the
        model's own, under an empty name."""
        if self._loaded is None:
            return {}
        alone = layer_names.alone(self._loaded.card)
        if len(alone) < 2:
            return dict.fromkeys(alone or ("",), self._loaded.space)
        return {layer: self._host.space(name) for layer, name in alone.items()}

    def split(self, rows: Floats) -> dict[str, Floats]:
        """float32 (n, dim) -> the columns of each of `spaces()`, float32 (n, its dim)."""
        found = layer_names.split(self._loaded.card, rows) if self._loaded else {}
        return found or {"": rows}

    def _model(self, items: list[Item]) -> str:
        if self._name is not None:
            return self._name
        for item in items:
            with contextlib.suppress(MediaError):
                modality: Modality = media.identify(item.file)
                return self._host.default(modality)
        raise MediaError(f"{items[0]}: expected at least one picture or sound among {len(items)} files")

    def _note(self, outcome: Outcome, warn: bool) -> None:
        self.outcomes.append(outcome)
        if outcome.status != "ok" and warn:
            text = f"{outcome.item}: {outcome.status}" + (f" ({outcome.reason})" if outcome.reason else "")
            warnings.warn(text, stacklevel=_depth())


def _depth() -> int:
    """How far up the caller is who iterates or asks for the matrix: the first frame that is not in this file."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame, depth = frame.f_back, depth + 1
    return depth


def save(rows: Embeddings, file: PathLike) -> int:
    """Writes an .npz with `embeddings` float32 (n, dim), the name of their `space` and its `fingerprint`, `paths` and
    `roots` (n,), `seconds` float64 (n, 2) for sound and `scores` float32 (n, labels) where there are any; returns n.

    A model that names several layers gives instead, for each of them, `embeddings[LAYER]`, `space[LAYER]` and
    `fingerprint[LAYER]`, as if it were alone, and `layers`, their names in order. The file appears when it is whole.
    """
    parts = list(rows.parts())
    if not parts:
        raise SightsoundError("nothing to save: no file gave an embedding" + _why(rows.outcomes))
    arrays: dict[str, Any] = _by_space(rows, np.concatenate([part.embeddings for part in parts]))
    arrays |= {
        "paths": np.array([part.item.path for part in parts for _ in part.embeddings]),
        "roots": np.array([part.item.root for part in parts for _ in part.embeddings]),
    }
    spans = [part.spans for part in parts if part.spans is not None]
    scores = [part.scores for part in parts if part.scores is not None]
    arrays |= {"seconds": np.concatenate(spans)} if spans else {}
    arrays |= {"scores": np.concatenate(scores)} if scores else {}
    with atomic_path(file) as part, part.open("wb") as opened:
        np.savez(opened, **arrays)
    return len(arrays["paths"])


def _by_space(rows: Embeddings, embeddings: Floats) -> dict[str, Any]:
    spaces, columns = rows.spaces(), rows.split(embeddings)
    arrays: dict[str, Any] = {} if "" in spaces else {"layers": np.array(list(spaces))}
    for layer, space in spaces.items():
        at = f"[{layer}]" if len(spaces) > 1 else ""
        arrays[f"embeddings{at}"] = columns[layer]
        arrays[f"space{at}"], arrays[f"fingerprint{at}"] = np.array(space.name), np.array(space.fingerprint)
    return arrays


def _why(outcomes: Sequence[Outcome]) -> str:
    bad = [outcome for outcome in outcomes if outcome.reason]
    return f"; {bad[0].item}: {bad[0].reason}" + (f" (and {len(bad) - 1} more)" if len(bad) > 1 else "") if bad else ""
