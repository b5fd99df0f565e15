"""Embed files without a library: rows in a loop, a matrix, or an .npz file."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sightsound import media
from sightsound._atomic import atomic_path, check_not_input, check_writable
from sightsound._progress import bar
from sightsound.contract import layer_names, row_names
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Modality
from sightsound.contract.errors import MediaError, SightsoundError, UnknownModel
from sightsound.contract.execution import Execution
from sightsound.contract.paths import PathLike, as_list, printable
from sightsound.contract.pooling import Pool, pooled
from sightsound.contract.results import Item, Outcome, Row
from sightsound.contract.space import Space
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.media import files
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import Embedded, embed_items, embed_stream


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
    """Return the embeddings of images or sounds, to iterate over or to ask for a matrix.

    Files are read while the result is iterated over, not before.

    Parameters
    ----------
    paths : path or sequence of paths
        Files, and folders that are searched for files.
    model : str or None
        The name of a model. None stands for the default model of the first image or sound. Files of the other
        modality are refused then, since their embeddings could not be compared.
    host : Host or None
        Where models are looked up. None stands for a new host of the installed plugins.
    device : str
        Where the model runs, see `Host.load`.
    batch_size : int or None
        Inputs in a batch. None stands for the model's own.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".
    layers : str or sequence of str
        Layers of the network whose outputs are the embeddings, one after the other. The same as the option `layer` in
        the model's name.
    layer_pool : str
        How the positions of a layer become one vector: "avg", "max", "std", some of them joined by "+", or "flat".
        The same as the option `pool` in the model's name.

    Returns
    -------
    Embeddings

    Raises
    ------
    SightsoundError
        If a path does not exist.

    Examples
    --------
    >>> for row in sightsound.embed("photos"): print(row.item, row.seconds, row.embedding.shape)
    >>> X = sightsound.embed(["a.jpg", "b.jpg"]).matrix()
    >>> X = sightsound.embed("photos", layers=["blocks.3", "blocks.5"]).matrices()["blocks.3"]
    """
    layers = [layers] if isinstance(layers, str) else list(layers)
    return Embeddings(as_list(paths), model, host or Host(), device, batch_size, progress, layers, layer_pool)


class Embeddings:
    """An iterable of `Row`.

    Every pass reads the files anew. A file that fails gives a warning that names it. Iteration gives rows as they come:
    rows of a recording that fails in the middle have been given by then. `items` and `matrix` never have rows of failed
    files.

    Parameters
    ----------
    paths, model, host, device, batch_size, progress, layers, layer_pool
        See `embed`.

    Attributes
    ----------
    outcomes : list of Outcome
        What became of each file that was reached in the last pass.
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

    def __repr__(self) -> str:
        model = self._name or "the default model of the first file"
        return f"{type(self).__name__}({len(self._found)} files, {model})"

    def __iter__(self) -> Iterator[Row]:
        items = self._begin(warn=True)
        if not items:
            return
        with (
            embed_stream(self._load(items), map(Job, items), batch_size=self._batch_size) as events,
            bar(len(items), "embed", self._progress) as shown,
        ):
            for event in events:
                if isinstance(event, Outcome):
                    self._note(event, warn=True)
                    shown.update()
                    continue
                for i, embedding in enumerate(event.embeddings):
                    seconds = None if event.spans is None else (float(event.spans[i, 0]), float(event.spans[i, 1]))
                    yield Row(event.item, seconds, embedding, None if event.scores is None else event.scores[i])

    def items(self, *, warn: bool = False) -> Iterator[Embedded]:
        """Yield the files in order, each with all its rows, those that fail without any.

        Parameters
        ----------
        warn : bool
            Whether to warn of files that fail.

        Yields
        ------
        Embedded
        """
        with contextlib.closing(self._embedded(self._begin(warn), warn)) as embedded:
            for found in self._found:
                yield Embedded(found.item, found) if isinstance(found, Outcome) else next(embedded)

    def files(self) -> list[Path]:
        """Return the paths of the files that are read."""
        return [found.file for found in self._found if isinstance(found, Item)]

    @property
    def model(self) -> str:
        """The full name of the model of the last pass, "" before the first."""
        return self._loaded.card.name if self._loaded else ""

    @property
    def execution(self) -> Execution | None:
        """How the model ran in the last pass, None before the first."""
        return self._loaded.execution if self._loaded else None

    def matrix(self, pool: Pool | None = "mean") -> Floats:
        """Return the embeddings as one array.

        Parameters
        ----------
        pool : {"mean", "max", "mean+std"} or None
            How the windows of a file become one row, see `pooled`. With None every window is a row.

        Returns
        -------
        float32 ndarray of shape (files, dim), or (windows, dim) where `pool` is None
            In the order of the files.

        Raises
        ------
        MediaError, PluginError
            If a file failed: its error, with a note that names the file.
        SightsoundError
            If there are no files.
        """
        whole = [
            found.embeddings if pool is None else pooled(found.embeddings, pool)
            for found in self.items(warn=True)
            if found.embeddings is not None
        ]
        bad = next((outcome for outcome in self.outcomes if outcome.status != "ok"), None)
        if bad is not None:
            raise bad.error or MediaError(f"{bad.item}: {bad.reason or bad.status}")
        if not whole:
            raise SightsoundError("nothing to embed: no files; name a file or a folder with files in it")
        return np.concatenate(whole) if pool is None else np.stack(whole)

    def matrices(self, pool: Literal["mean", "max"] | None = "mean") -> dict[str, Floats]:
        """Return the embeddings of each layer as one array, from a single pass.

        Parameters
        ----------
        pool : {"mean", "max"} or None
            As in `matrix`.

        Returns
        -------
        dict of str to float32 ndarray of shape (files or windows, dim of the layer)
            In the order in which the model names the layers.

        Raises
        ------
        SightsoundError
            If the model names no layers, and as `matrix` does.
        """
        found = self.split(self.matrix(pool))
        if "" in found:
            raise SightsoundError(f"{self.spaces()[''].name}: expected a model that names layers; use matrix()")
        return found

    def spaces(self) -> dict[str, Space]:
        """Return the space of each layer that the model of the last pass names, as if the layer were alone.

        Returns
        -------
        dict of str to Space
            Without layers the model's own space under an empty name. Empty before the first pass.
        """
        if self._loaded is None:
            return {}
        alone = layer_names.alone(self._loaded.card)
        if len(alone) < 2:
            return dict.fromkeys(alone or ("",), self._loaded.space)
        return {layer: self._host.space(name) for layer, name in alone.items()}

    def split(self, rows: Floats) -> dict[str, Floats]:
        """Return the columns of each layer.

        Parameters
        ----------
        rows : float32 ndarray of shape (n, dim)
            Embeddings of this model.

        Returns
        -------
        dict of str to float32 ndarray of shape (n, dim of the layer)
            With the keys of `spaces`.
        """
        found = layer_names.split(self._loaded.card, rows) if self._loaded else {}
        return found or {"": rows}

    def _begin(self, warn: bool) -> list[Item]:
        """Begin a pass: note what cannot be read, and return the other files."""
        self.outcomes = []
        for found in self._found:
            if isinstance(found, Outcome):
                self._note(found, warn)
        return [found for found in self._found if isinstance(found, Item)]

    def _embedded(self, items: list[Item], warn: bool) -> Generator[Embedded]:
        if not items:
            return
        with (
            embed_items(self._load(items), map(Job, items), batch_size=self._batch_size) as embedded,
            bar(len(items), "embed", self._progress) as shown,
        ):
            for found in embedded:
                self._note(found.outcome, warn)
                shown.update()
                yield found

    def _load(self, items: list[Item]) -> Model:
        name = self._model_name(items)
        if self._layers and not any(option.name == "layer" for option, _ in self._host.options(name)):
            raise UnknownModel(f"{name}: has no layers to choose (no option `layer`); leave the layers out")
        name = layer_names.named(name, self._layers, self._layer_pool)
        self._loaded = self._host.load(name, self._device)
        return self._loaded

    def _model_name(self, items: list[Item]) -> str:
        if self._name is not None:
            return self._name
        for item in items:
            with contextlib.suppress(MediaError):
                modality: Modality = media.identify(item.file)
                return self._host.default(modality)
        raise MediaError(f"{items[0]}: expected at least one image or sound among {len(items)} files")

    def _note(self, outcome: Outcome, warn: bool) -> None:
        self.outcomes.append(outcome)
        if outcome.status != "ok" and warn:
            text = f"{outcome.item}: {outcome.status}" + (f" ({outcome.reason})" if outcome.reason else "")
            warnings.warn(printable(text), stacklevel=_stack_level())


def _stack_level() -> int:
    """Return the `stacklevel` of the first caller that is not in this file, so that a warning names its line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    return level


def save_embeddings(embeddings: Embeddings, file: PathLike) -> int:
    """Embed the files and write their rows to an .npz file.

    Its arrays are `embeddings` float32 (n, dim), the name of their `space` and its `fingerprint`, `paths` and `roots`
    (n,), for sound `seconds` float64 (n, 2), and `scores` float32 (n, labels) where the model has classes. A model that
    names several layers has for each of them `embeddings[LAYER]`, `space[LAYER]` and `fingerprint[LAYER]` instead, as
    if it were alone, and `layers`, their names in order. Files that fail have no rows.

    Parameters
    ----------
    embeddings : Embeddings
        What `embed` returned. Its `outcomes` say afterwards what became of each file.
    file : path
        Where to write. The file is replaced at once when all rows are written.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    SightsoundError
        If there are no rows, or the file cannot be written or is one of those that are read.
    """
    check_not_input(file, embeddings.files())
    check_writable(file)
    whole = [found for found in embeddings.items(warn=True) if found.embeddings is not None]
    if not whole:
        raise SightsoundError("nothing to save: no file gave an embedding" + _first_reason(embeddings.outcomes))
    rows = [found.embeddings for found in whole if found.embeddings is not None]
    arrays = _arrays_by_space(embeddings, np.concatenate(rows))
    counts = [len(each) for each in rows]
    arrays |= {
        "paths": np.repeat(np.array([found.item.path for found in whole]), counts),
        "roots": np.repeat(np.array([found.item.root for found in whole]), counts),
    }
    spans = [found.spans for found in whole if found.spans is not None]
    scores = [found.scores for found in whole if found.scores is not None]
    arrays |= {"seconds": np.concatenate(spans)} if spans else {}
    arrays |= {"scores": np.concatenate(scores)} if scores else {}
    with atomic_path(file) as part, part.open("wb") as opened:
        np.savez(opened, **arrays)
    return sum(counts)


def _arrays_by_space(embeddings: Embeddings, rows: Floats) -> dict[str, Any]:
    spaces, columns = embeddings.spaces(), embeddings.split(rows)
    arrays: dict[str, Any] = {} if "" in spaces else {row_names.LAYERS: np.array(list(spaces))}
    for layer, space in spaces.items():
        at = f"[{layer}]" if len(spaces) > 1 else ""
        arrays[f"embeddings{at}"] = columns[layer]
        arrays[f"{row_names.SPACE}{at}"] = np.array(space.name)
        arrays[f"{row_names.FINGERPRINT}{at}"] = np.array(space.fingerprint)
    return arrays


def _first_reason(outcomes: Sequence[Outcome]) -> str:
    bad = [outcome for outcome in outcomes if outcome.reason]
    return f"; {bad[0].item}: {bad[0].reason}" + (f" (and {len(bad) - 1} more)" if len(bad) > 1 else "") if bad else ""
