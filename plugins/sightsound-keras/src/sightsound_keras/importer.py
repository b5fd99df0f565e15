"""The importer of Keras files: networks in `.keras`, `.h5` and `.json` files of the user."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sightsound.plugin import Card, Embedder, ModelSettings, SightsoundError
from sightsound_keras.applications import PREPROCESSING, applications

JSON_MOST = 2**26
"""Bytes of an architecture in JSON at most."""

PREPROCESSING_FIELDS = ("channels", "scale", "mean", "std")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KerasFiles:
    """The files of a network.

    Attributes
    ----------
    architecture : pathlib.Path
        The file with the architecture.
    weights : pathlib.Path or None
        The file with the weights, which may be the same.
    """

    architecture: Path
    weights: Path | None

    @classmethod
    def of(cls, files: Sequence[Path]) -> KerasFiles:
        """Return what is in some files by the ends of their names. Raises `SightsoundError` for other combinations."""
        by = {file.suffix.lower(): file for file in files}
        weights = by.get(".h5") or by.get(".hdf5")
        if set(by) == {".keras"}:
            return cls(by[".keras"], by[".keras"])
        if ".json" in by and len(by) == 1 + (weights is not None):
            return cls(by[".json"], weights)
        if weights is not None and len(by) == 1:
            return cls(weights, weights)
        raise SightsoundError(
            f"{files[0]}: expected one .keras, .h5 or .json file, or .h5 and .json, got {', '.join(sorted(by))}"
        )

    def config(self) -> dict[str, Any]:
        """Return the architecture, up to date. Raises `SightsoundError` for a file that is damaged or not let in."""
        from sightsound_keras.architecture import up_to_date
        from sightsound_keras.weights import architecture_in, member_of

        file = self.architecture
        if file.suffix.lower() == ".keras":
            with member_of(file, "config.json") as member:
                return up_to_date(_text(member, file), file)
        if file.suffix.lower() == ".json":
            return up_to_date(_text(file, file), file)
        text = architecture_in(file)
        if text is None:
            raise SightsoundError(f"{file}: has weights and no architecture; give its .json file too")
        return up_to_date(text, file)


class KerasImporter:
    """Makes models of Keras files; see `sightsound.plugin.Importer`."""

    name = "keras"
    suffixes: tuple[str, ...] = (".keras", ".h5", ".hdf5", ".json")

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of the network in some files. No weights are loaded yet, but all files are examined."""
        from sightsound_keras.architecture import input_shapes
        from sightsound_keras.backend import built
        from sightsound_keras.weights import SEED, examine, require_numbers

        found = KerasFiles.of(files)
        if found.weights is not None:
            examine(found.weights)
        config = found.config()
        shapes = input_shapes(config)
        if len(shapes) != 1:
            raise SightsoundError(f"{found.architecture}: expected a network with one input, got {len(shapes)}")
        settings = _with_usual_preprocessing(settings, config)
        settings, shape, layout = _input(settings, shapes[0])
        constants = {"embedding": settings.embedding, "of": "output", "output": settings.output}
        if settings.labels and not settings.embedding:
            constants["of"] = "input"
        facts = built(lambda: _facts(network(config, shape), constants, layout), device="meta")
        if found.weights is None:
            log.warning("%s: has no weights; the model has random numbers, the same each time", found.architecture)
        else:
            require_numbers(found.weights, facts["params"], found.architecture.name)
        loader = {"loader": "keras", **constants, **({} if found.weights else {"seed": SEED})}
        return settings.card(input_shape=shape, layout=layout, constants=loader, **facts)

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder of an imported network."""
        from sightsound_keras.embedder import KerasEmbedder

        return KerasEmbedder(card, _loader(card, list(weights.values())), device)


def network(config: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """Return the network of an architecture for inputs of a shape, with initial numbers, for `backend.built`.

    Raises `SightsoundError` if Keras cannot build it.
    """
    from sightsound_keras.architecture import with_input
    from sightsound_keras.backend import import_keras
    from sightsound_keras.weights import reason

    name = config["config"].get("name")
    try:
        return import_keras().saving.deserialize_keras_object(with_input(config, shape), safe_mode=True)
    except Exception as error:  # Keras raises whatever it comes upon
        raise SightsoundError(f"network {name}: Keras cannot build it: {reason(error)}") from error


def _loader(card: Card, files: Sequence[Path]) -> Callable[[], Any]:
    def load() -> Any:
        from sightsound_keras.weights import fill, fill_with_seed

        found = KerasFiles.of(files)
        model = network(found.config(), card.input_shape)
        return fill(model, found.weights, card.name) if found.weights else fill_with_seed(model)

    return load


def _facts(model: Any, constants: Mapping[str, Any], layout: str | None) -> dict[str, Any]:
    """Return what the network says for its card."""
    from sightsound_keras.network import dim_of, embedding_of, output_of

    rows = embedding_of(model, constants)
    dim = dim_of(rows.shape, layout == "nchw")
    if dim is None:
        raise SightsoundError(
            f"network {model.name}: expected an embedding of known length, got {rows.shape}; see --size"
        )
    scores = None
    if constants["of"] == "input" or constants["output"]:
        scores = 1
        for side in output_of(model, constants["output"]).shape[1:]:
            scores *= side or 0
    return {"dim": dim, "score_count": scores, "params": model.count_params()}


def _input(
    settings: ModelSettings, shape: tuple[int | None, ...]
) -> tuple[ModelSettings, tuple[int, ...], Literal["nchw", "nhwc"] | None]:
    """Return the settings, the shape of an input and its layout, from the settings and the network's own shape."""
    if settings.kind == "sound":
        filled = tuple(side or settings.samples or 0 for side in shape)
        if 0 in filled or sum(side != 1 for side in shape) != 1:
            raise SightsoundError(
                f"{settings.name}: expected samples (n,), (n, 1) or (1, n), got {shape}; if n is None, give --window"
            )
        return settings, filled, None
    if len(shape) != 3:
        raise SightsoundError(f"{settings.name}: expected images (h, w, channels), got {shape}; for sound give --rate")
    layout: Literal["nchw", "nhwc"] = settings.layout or ("nhwc" if shape[2] in (1, 3) else "nchw")
    sides, count = (shape[:2], shape[2]) if layout == "nhwc" else (shape[1:], shape[0])
    if count == 1:
        settings = dataclasses.replace(settings, channels="gray")
    if count not in (1, 3) or (count == 3 and settings.channels == "gray"):
        raise SightsoundError(f"{settings.name}: expected images of 1 or 3 channels ({settings.channels}), got {shape}")
    given = settings.size or sides
    fitting = all(own in (None, side) for own, side in zip(sides, given))
    height, width = given
    if not fitting or height is None or width is None:
        raise SightsoundError(
            f"{settings.name}: size: expected {sides[0]} x {sides[1]} as the network has it, "
            f"got {settings.size}; see --size"
        )
    return settings, settings.image_shape(layout, (height, width)), layout


def _with_usual_preprocessing(settings: ModelSettings, config: Mapping[str, Any]) -> ModelSettings:
    """Return the settings with the preprocessing of an application, if the network is one and none is stated."""
    blank = ModelSettings(name=settings.name)
    stated = any(getattr(settings, name) != getattr(blank, name) for name in PREPROCESSING_FIELDS)
    title = config["config"].get("name")
    mode = next((each.preprocessing for each in applications().values() if each.title == title), None)
    if mode is None or stated or settings.kind != "image":
        return settings
    log.warning("%s: is called %s, so it gets the preprocessing of that application of Keras", settings.name, title)
    return dataclasses.replace(settings, **PREPROCESSING[mode])


def _text(path: Path, file: Path) -> str:
    try:
        if path.stat().st_size > JSON_MOST:
            raise SightsoundError(f"{file}: expected an architecture of at most {JSON_MOST:,} bytes")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SightsoundError(f"{file}: expected an architecture in JSON, got: {error}; is it complete?") from error
