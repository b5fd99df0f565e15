"""Cards of networks of images and words, and those that are registered, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sightsound.plugin import Card, SightsoundError, WeightFile

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation of the pixels that CLIP was trained on (Radford et al., 2021); `PreprocessCfg` has them too."""

TEMPLATES = ("a photo of a {}.",)
"""The template of Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 3.1.4."""

LOGIT_SCALE = 100.0
"""The bound of the scale in the training of CLIP (same paper, 2.5). The scale of a file has precedence over it."""

CONTEXT_LENGTH = 77
"""Tokens of a text, those for its start and end included, if a configuration says nothing else."""


_OTHER_TOKENIZER = {"hf_tokenizer_name", "hf_model_name", "tokenizer_kwargs"}
"""Settings of a text part whose tokenizer is not the one of CLIP, which open_clip contains."""


def card_of(
    name: str,
    config: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    weights: tuple[WeightFile, ...] = (),
    **fields: Any,
) -> Card:
    """Return the card of a network.

    Parameters
    ----------
    name : str
        Its name.
    config : mapping
        A configuration of open_clip: `embed_dim`, `vision_cfg`, `text_cfg`, `quick_gelu`.
    preprocess : mapping
        `mean`, `std`, `interpolation` and `resize_mode` as in `open_clip.transform.PreprocessCfg`; what is missing is
        as there.
    weights : tuple of WeightFile
        Its files.
    **fields
        Other fields of the card.

    Returns
    -------
    Card

    Raises
    ------
    SightsoundError
        If the configuration lacks something, or if the preprocessing is another than a resize and a crop.
    """
    try:
        dim, size, text = int(config["embed_dim"]), int(config["vision_cfg"].get("image_size", 224)), config["text_cfg"]
        takes_text = not _OTHER_TOKENIZER & set(text)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        text = "expected embed_dim, vision_cfg with one image_size, and text_cfg"
        raise SightsoundError(f"{name}: configuration: {text}, got {type(error).__name__}: {error}") from error
    constants = {**_crop(name, size, preprocess), "quick_gelu": bool(config.get("quick_gelu", False))}
    if takes_text:
        constants["context_length"] = text.get("context_length", CONTEXT_LENGTH)
        constants["text"] = {"templates": list(TEMPLATES), "logit_scale": LOGIT_SCALE}
    return Card(
        name=name,
        modality="image",
        dim=dim,
        input_shape=(3, size, size),
        weights=weights,
        text=takes_text,
        constants=constants,
        **fields,
    )


def _crop(name: str, size: int, preprocess: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constants of `CenterCrop` for the evaluation transform of open_clip."""
    mode = preprocess.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash"):
        raise SightsoundError(f"{name}: resize_mode: expected 'shortest' or 'squash', got {mode!r}")
    return {
        "resize": size,
        "crop": size,
        "resize_mode": mode,
        "interpolation": "bilinear" if preprocess.get("interpolation") == "bilinear" else "bicubic",
        "antialias": True,
        "mean": _three(name, "mean", preprocess.get("mean") or MEAN),
        "std": _three(name, "std", preprocess.get("std") or STD),
    }


def _three(name: str, field: str, given: Any) -> list[float]:
    """Return a number for each channel."""
    values = list(given) if isinstance(given, list | tuple) else [given] * 3
    if len(values) != 3 or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise SightsoundError(f"{name}: preprocess_cfg: expected three numbers as {field}, got {given!r}")
    if field == "std" and not all(values):
        raise SightsoundError(f"{name}: preprocess_cfg: expected std other than 0, got {given!r}")
    return [float(value) for value in values]


def hub_file(name: str, repo: str, *files: str) -> WeightFile:
    """Return a weight file of the Hugging Face Hub, known by the first of some names; its hash is not known."""
    sources = tuple(f"hf:{repo}!{file}" for file in files)
    return WeightFile(name=name, sources=sources)


def hub_weights(name: str, repo: str, file: str = "") -> WeightFile:
    """Return the weight file of a repository; without `file` it has one of open_clip's usual names."""
    usual = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return hub_file(f"{name}.safetensors", repo, *((file,) if file else usual))


# -- the networks that are registered ----------------------------------------------------------------------------------


def _registered(arch: str, tag: str, repo: str, dim: int, params: int, *, quick_gelu: bool, license: str) -> Card:
    name = f"{arch}.{tag}"
    return card_of(
        name,
        {"embed_dim": dim, "vision_cfg": {}, "text_cfg": {}, "quick_gelu": quick_gelu},
        {},
        (hub_weights(name, repo),),
        params=params,
        license=license,
        about=about(arch, tag),
    )


def about(arch: str, tag: str) -> str:
    """Return the description of a network."""
    return f"CLIP, images and words: {arch} of OpenCLIP, weights {tag}"


_OPENAI: dict[str, Any] = {"quick_gelu": True, "license": "MIT"}
_LAION: dict[str, Any] = {"quick_gelu": False, "license": "MIT"}

REGISTERED = (
    _registered("vit_b_32", "openai", "timm/vit_base_patch32_clip_224.openai", 512, 151277313, **_OPENAI),
    _registered("vit_b_16", "openai", "timm/vit_base_patch16_clip_224.openai", 512, 149620737, **_OPENAI),
    _registered("vit_l_14", "openai", "timm/vit_large_patch14_clip_224.openai", 768, 427616513, **_OPENAI),
    _registered("rn50", "openai", "timm/resnet50_clip.openai", 1024, 102007137, **_OPENAI),
    _registered("vit_b_32", "laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 512, 151277313, **_LAION),
    _registered(
        "vit_b_16", "datacomp_xl_s13b_b90k", "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", 512, 149620737, **_LAION
    ),
)
"""Cards of networks whose files are on the Hugging Face Hub; a test compares them with open_clip's own tables."""
