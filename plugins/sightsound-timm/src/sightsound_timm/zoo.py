"""Names of timm and torchvision become cards. Nothing is fetched here; sizes come from networks without numbers."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightsound.contract.card import Card, WeightFile
from sightsound_timm.cards import REGISTERED, TIMM_TAGS, constants, imagenet1k, imagenet1k_ids
from sightsound_timm.places365 import PLACES365


def mentioned(name: str) -> bool:
    """Whether the sources of timm or torchvision speak of such a network at all; it takes milliseconds, no import."""
    arch = name.partition(".")[0]
    return len(arch) > 2 and any(arch.encode() in path.read_bytes() for path in _sources())


def find(name: str) -> tuple[Card, str] | None:
    """Card and builder (a function of `network.py`) of `arch` or `arch.tag`.

    Without a tag a registered network of that architecture comes first, then timm's default, then torchvision's; with
    one, names of timm win over torchvision's. None for what neither has.
    """
    from sightsound_timm import network  # imports torch, timm and torchvision in the one order that works

    registered = {card.name: (card, builder) for card, builder in (*REGISTERED, *PLACES365)}
    if name in registered:
        return registered[name]
    for card, builder in REGISTERED:
        if name == card.name.partition(".")[0]:
            return card, builder
    own = network.timm_name(name)
    if own is not None:
        return registered.get(own) or (_timm_card(own), "timm")
    found = network.torchvision_weights(name)
    if found is None:
        return None
    own = f"{found[0]}.{_tag(found[0], found[1].name)}"
    return registered.get(own) or (_torchvision_card(own, *found), "torchvision")


def _sources() -> Iterator[Path]:
    for package in ("timm", "torchvision"):
        found = importlib.util.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            yield from Path(folder, "models").glob("**/*.py")


def _tag(arch: str, weights: str) -> str:
    """torchvision's own name of the weights where timm has the architecture too: two networks, two names."""
    from sightsound_timm import network

    return weights if network.timm_name(arch) else TIMM_TAGS.get(weights, weights)


# -- timm --------------------------------------------------------------------------------------------------------------


def _timm_card(name: str) -> Card:
    import timm

    from sightsound_timm import network

    told = timm.get_pretrained_cfg(name)
    assert told is not None, name
    dim, params = network.timm_facts(name)
    labels, ids = _labels(told)
    return Card(
        name=name,
        modality="image",
        dim=dim,
        input_shape=tuple(told.input_size),
        labels=labels,
        label_ids=ids,
        scores="softmax" if labels else None,
        weights=(_timm_file(name, told),),
        constants=_timm_constants(told),
        params=params,
        license=told.license or "",
        about=f"timm's {name}" + (f", from {told.origin_url}" if told.origin_url else ""),
    )


def _timm_constants(told: Any) -> dict[str, Any]:
    """As `timm.data.create_transform` would do it; other modes than a centred square are left to timm."""
    side = told.input_size[1]
    if told.crop_mode == "center" and told.input_size == (3, side, side) and told.crop_pct <= 1:
        resize = math.floor(side / told.crop_pct)
        return constants(resize, side, told.interpolation, told.mean, told.std)
    return {
        "input_size": list(told.input_size),
        "crop_pct": told.crop_pct,
        "crop_mode": told.crop_mode,
        "interpolation": told.interpolation,
        "mean": list(told.mean),
        "std": list(told.std),
    }


def _timm_file(name: str, told: Any) -> WeightFile:
    """Where timm publishes the file; its hash is not known beforehand."""
    if told.hf_hub_id:
        repo, file = told.hf_hub_id, told.hf_hub_filename or "model.safetensors"
        sources = (f"hf:{repo}!{file}", f"https://huggingface.co/{repo}/resolve/main/{file}")
        return WeightFile(name=name + Path(file).suffix, sources=sources)
    if told.url:
        return WeightFile(name=told.url.rpartition("/")[2], sources=(told.url,))
    return WeightFile(name=f"{name}.safetensors")


def _labels(told: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes in words and their WordNet ids, where the outputs are classes that timm has words for; else none."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    from sightsound_timm import network

    count = network.class_count(told)
    subset = infer_imagenet_subset({"num_classes": count})
    if count == 1000 or subset is None:
        return (imagenet1k(), imagenet1k_ids()) if count else ((), ())
    told = ImageNetInfo(subset)
    return tuple(told.label_descriptions()), tuple(told.label_names())


# -- torchvision -------------------------------------------------------------------------------------------------------


def _torchvision_card(name: str, arch: str, weights: Any) -> Card:
    from sightsound_timm import network

    told, asked = weights.transforms(), weights.meta
    classes = tuple(asked["categories"])
    return Card(
        name=name,
        modality="image",
        dim=network.torchvision_width(arch, len(classes)),
        input_shape=(3, told.crop_size[0], told.crop_size[0]),
        labels=imagenet1k() if len(classes) == 1000 else classes,
        label_ids=imagenet1k_ids() if len(classes) == 1000 else (),
        scores="softmax",
        weights=(WeightFile(name=weights.url.rpartition("/")[2], sources=(weights.url,)),),
        constants=constants(told.resize_size[0], told.crop_size[0], told.interpolation.value, told.mean, told.std),
        params=asked["num_params"],
        top1=asked["_metrics"].get("ImageNet-1K", {}).get("acc@1"),
        license=asked.get("license", "BSD-3-Clause"),
        about=f"torchvision's {arch}, weights {weights.name}; accuracy from torchvision",
    )
