"""What a user says about a network in a file: what the file itself does not say."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sightsound.contract.card import Card, Modality
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import SightsoundError


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The input and output of a network in a file.

    All of it but the name is optional if the file says it.

    Parameters
    ----------
    name : str
        The name of the model.
    modality : {"image", "sound"} or None
        What it embeds. None for sound if `rate` is given, else an image.
    size : tuple of int or None
        Height and width of the input in pixels.
    layout : {"nchw", "nhwc"} or None
        The order of the axes of the input: channels before or after height and width.
    channels : {"rgb", "bgr", "gray"}
        The order of the channels.
    scale : float
        Values from 0 to 255 are divided by it, before `mean` and `std`.
    mean, std : tuple of float
        One number for each channel, or one for all: `(value - mean) / std`.
    resize : int or None
        Pixels that the shorter side is resized to before the centre is cropped; None for that of `size`.
    squash : bool
        Whether both sides are resized to `size` without a crop, whatever the shape of the image. It is so if height and
        width of `size` differ.
    interpolation : {"bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"}
        The filter of Pillow.
    rate : int or None
        Sample rate of sound in Hz.
    window, hop : float or None
        Length and distance of windows in seconds. Without a hop it is the window.
    tail : {"pad", "drop"}
        Whether the rest of a recording is padded with zeros to a window, or dropped.
    input, embedding, output : str
        Names of the input, of the output or layer whose values are the embedding, and of the output with the scores;
        empty if there is only one, or for the usual one.
    scores : {"softmax", "sigmoid"} or None
        What the scores are: probabilities that add up to 1, or independent ones. None if `labels` is empty, otherwise
        "softmax".
    logits : bool
        Whether the output has logits, to which softmax or the sigmoid function is applied.
    labels : tuple of str
        The names of the classes in the order of the scores; empty if the scores are not used.
    ids : tuple of str
        Their ids, such as those of AudioSet or WordNet; empty if they have none.
    license, about : str
        As on a card.
    """

    name: str
    modality: Modality | None = None
    size: tuple[int, int] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    channels: Literal["rgb", "bgr", "gray"] = "rgb"
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: int | None = None
    squash: bool = False
    interpolation: str = "bilinear"
    rate: int | None = None
    window: float | None = None
    hop: float | None = None
    tail: Literal["pad", "drop"] = "pad"
    input: str = ""
    embedding: str = ""
    output: str = ""
    scores: Literal["softmax", "sigmoid"] | None = None
    logits: bool = False
    labels: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    license: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        for name, (kind, expected) in _KINDS.items():
            value = getattr(self, name)
            if value is not None and not (kind(value) if callable(kind) else value in kind):
                raise SightsoundError(f"{self.name}: {name}: expected {expected}, got {value!r}")

    @classmethod
    def from_json(cls, text: str, **more: Any) -> ModelSettings:
        """Return the settings of a JSON object with these fields.

        Parameters
        ----------
        text : str
            The object. `size` may be one number, for a square.
        **more
            Fields that overrule it; None for those that do not.

        Raises
        ------
        SightsoundError
            If it is not an object with these fields, or a value is invalid.

        Returns
        -------
        ModelSettings
        """
        try:
            found = json.loads(text)
        except ValueError as error:
            raise SightsoundError(f"settings: expected a JSON object ({error}); correct the file") from None
        if not isinstance(found, dict):
            raise SightsoundError(f"settings: expected a JSON object, got a {type(found).__name__}; correct the file")
        fields = {**found, **{name: value for name, value in more.items() if value is not None}}
        known = [each.name for each in dataclasses.fields(cls)]
        if unknown := sorted(set(fields) - set(known)):
            raise SightsoundError(f"settings: expected some of {', '.join(known)}, got {', '.join(unknown)}")
        if isinstance(fields.get("size"), int):
            fields["size"] = (fields["size"], fields["size"])
        for name in ("size", "mean", "std", "labels", "ids"):
            if isinstance(fields.get(name), list):
                fields[name] = tuple(fields[name])
        for name in ("mean", "std"):
            if isinstance(fields.get(name), int | float):
                fields[name] = (fields[name],)
        if "name" not in fields:
            raise SightsoundError("settings: expected a name; give --name")
        return cls(**fields)

    @property
    def kind(self) -> Modality:
        """What the network embeds."""
        return self.modality or ("sound" if self.rate else "image")

    @property
    def samples(self) -> int | None:
        """The samples of a window, None if rate or window are not given."""
        return None if self.rate is None or self.window is None else round(self.window * self.rate)

    def image_shape(self, layout: Literal["nchw", "nhwc"], size: tuple[int, int]) -> tuple[int, int, int]:
        """Return the shape of an input that is an image.

        Parameters
        ----------
        layout : {"nchw", "nhwc"}
            The order of its axes.
        size : tuple of int
            Its height and width.

        Returns
        -------
        tuple of int
        """
        count = 1 if self.channels == "gray" else 3
        return (count, *size) if layout == "nchw" else (*size, count)

    def card(
        self,
        *,
        dim: int,
        input_shape: tuple[int, ...],
        layout: Literal["nchw", "nhwc"] | None = None,
        score_count: int | None = None,
        constants: Mapping[str, Any],
        **more: Any,
    ) -> Card:
        """Return the card of a network with these settings; `sightsound.plugin.Inputs` makes the inputs that it says.

        Parameters
        ----------
        dim : int
            Length of the embedding.
        input_shape : tuple of int
            Shape of an input: with three axes for an image, (samples,) for sound.
        layout : {"nchw", "nhwc"} or None
            The order of the axes of an image, if `layout` of the settings is None.
        score_count : int or None
            How many scores the network gives, None if unknown.
        constants : mapping
            What the loader needs beside.
        **more
            More fields of the card.

        Raises
        ------
        SightsoundError
            If the settings lack something, or do not fit one another or the network.

        Returns
        -------
        Card
        """
        self._require_own_modality()
        if score_count is not None and self.labels and len(self.labels) != score_count:
            raise SightsoundError(
                f"{self.name}: labels: expected {score_count}, one for each score, got {len(self.labels)}"
            )
        classes = ClassList(self.name, self.labels, self.ids) if self.labels else None
        own = self._image_constants(input_shape, layout) if self.kind == "image" else {}
        if self.kind == "sound":
            more = {**more, **self._windows(input_shape)}
        return Card(
            name=self.name,
            modality=self.kind,
            dim=dim,
            input_shape=input_shape,
            classes=classes,
            scores=(self.scores or "softmax") if classes else None,
            constants={**own, **constants, "logits": bool(classes and self.logits)},
            license=self.license,
            about=self.about,
            **more,
        )

    def _require_own_modality(self) -> None:
        """Refuse settings of networks of the other modality, which would be ignored."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _OF_OTHERS[self.kind] and value != field.default:
                what = f"expected none, since the network takes {self.kind}s"
                raise SightsoundError(f"{self.name}: {field.name}: {what}, got {value!r}; leave it out")

    def _image_constants(self, shape: tuple[int, ...], layout: Literal["nchw", "nhwc"] | None) -> dict[str, Any]:
        layout = self.layout or layout or "nchw"
        height, width = shape[1:] if layout == "nchw" else shape[:2]
        squash = self.squash or height != width
        size: Any = height if height == width else [height, width]
        count = shape[0] if layout == "nchw" else shape[2]
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, count):
                raise SightsoundError(f"{self.name}: {name}: expected 1 or {count} numbers, one for each channel")
        return {
            "resize": size if squash else self.resize or height,
            "crop": size,
            "crop_mode": "center",
            "interpolation": self.interpolation,
            "antialias": True,
            "mean": [*self.mean] * (count // len(self.mean)),
            "std": [*self.std] * (count // len(self.std)),
            "layout": layout,
            "channels": self.channels,
            "scale": self.scale,
            **({"resize_mode": "squash"} if squash else {}),
        }

    def _windows(self, shape: tuple[int, ...]) -> dict[str, Any]:
        if self.rate is None:
            raise SightsoundError(f"{self.name}: rate: expected Hz for sound; give --rate")
        samples = math.prod(shape)
        if self.window is not None and round(self.window * self.rate) != samples:
            wanted = f"{samples / self.rate:g} s ({samples} samples)"
            raise SightsoundError(
                f"{self.name}: window: expected {wanted}, got {self.window:g} s; see --window, --rate"
            )
        hop = samples if self.hop is None else round(self.hop * self.rate)
        return {"sample_rate": self.rate, "window": samples, "hop": hop, "tail": self.tail}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: object) -> bool:
    return _number(value) and value > 0  # type: ignore[operator]


def _count(value: object) -> bool:
    return isinstance(value, int) and _positive(value)


def _text(value: object) -> bool:
    return isinstance(value, str)


_OF_OTHERS: dict[Modality, frozenset[str]] = {
    "image": frozenset({"rate", "window", "hop", "tail"}),
    "sound": frozenset({"size", "layout", "channels", "scale", "mean", "std", "resize", "squash", "interpolation"}),
}
"""What a network takes -> the fields that only networks of the other modality use."""

_KINDS: dict[str, tuple[Any, str]] = {
    "name": (_text, "a text"),
    "modality": (("image", "sound"), "image or sound"),
    "size": (lambda size: isinstance(size, tuple) and len(size) == 2 and all(map(_count, size)), "pixels"),
    "layout": (("nchw", "nhwc"), "nchw or nhwc"),
    "channels": (("rgb", "bgr", "gray"), "rgb, bgr or gray"),
    "scale": (_positive, "a number over 0"),
    "mean": (lambda numbers: isinstance(numbers, tuple) and numbers and all(map(_number, numbers)), "numbers"),
    "std": (lambda numbers: isinstance(numbers, tuple) and numbers and all(map(_positive, numbers)), "numbers over 0"),
    "resize": (_count, "pixels"),
    "squash": ((True, False), "true or false"),
    "interpolation": (("bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"), "a filter of Pillow"),
    "rate": (_count, "Hz, a whole number over 0"),
    "window": (_positive, "seconds"),
    "hop": (_positive, "seconds"),
    "tail": (("pad", "drop"), "pad or drop"),
    "input": (_text, "a name"),
    "embedding": (_text, "a name"),
    "output": (_text, "a name"),
    "scores": (("softmax", "sigmoid"), "softmax or sigmoid"),
    "logits": ((True, False), "true or false"),
    "labels": (lambda labels: isinstance(labels, tuple) and all(map(_text, labels)), "texts"),
    "ids": (lambda ids: isinstance(ids, tuple) and all(map(_text, ids)), "texts"),
    "license": (_text, "a text"),
    "about": (_text, "a text"),
}
"""Field -> the values that are allowed, or a function that says whether one is; and what is expected."""
