"""Cards for names of timm and torchvision. Nothing is fetched; sizes come from networks without numbers."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from sightsound.plugin import LAYER_OPTIONS, Card, ClassList, WeightFile
from sightsound_timm.cards import TIMM_TAGS, TIMM_TOP1, TORCHVISION_TOP1, constants, imagenet1k
from sightsound_timm.networks import REGISTERED


def is_mentioned(name: str) -> bool:
    """Return whether the sources of timm or torchvision contain the name of the architecture.

    It takes milliseconds and imports neither, so it tells names of other plugins apart before anything heavy is done.
    """
    arch = name.partition(".")[0]
    return len(arch) > 2 and any(arch.encode() in path.read_bytes() for path in _source_files())


def find_card(name: str) -> tuple[Card, str] | None:
    """Return the card and the name of the builder of a network, or None if neither framework has it.

    Parameters
    ----------
    name : str
        `arch` or `arch.tag`, see `_card_of`. A card of another tag has `name` as an alias.
    """
    found = _card_of(name)
    if found is None or found[0].name == name or "." not in name:
        return found
    card, builder = found
    return replace(card, aliases=(*card.aliases, name)), builder


def _card_of(name: str) -> tuple[Card, str] | None:
    """Return the card and the builder for a name.

    Without a tag, the registered network that has it as an alias comes first, then timm's default, then torchvision's.
    With a tag, timm comes before torchvision.
    """
    from sightsound_timm import timm_networks, torchvision_networks

    registered = {name: (card, builder) for card, builder in REGISTERED for name in (card.name, *card.aliases)}
    if name in registered:
        return registered[name]
    full_name = timm_networks.full_name(name)
    if full_name is not None:
        return registered.get(full_name) or (timm_card(full_name), "timm")
    found = torchvision_networks.find_weights(name)
    if found is None:
        return None
    arch, weights = found
    full_name = f"{arch}.{_torchvision_tag(arch, weights.name)}"
    return registered.get(full_name) or (torchvision_card(full_name, arch, weights), "torchvision")


def _source_files() -> Iterator[Path]:
    for package in ("timm", "torchvision"):
        found = importlib.util.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            yield from Path(folder, "models").glob("**/*.py")


def _torchvision_tag(arch: str, weights: str) -> str:
    """Return torchvision's own name of the weights if timm has the architecture too, so that names stay different."""
    from sightsound_timm import timm_networks

    return weights if timm_networks.full_name(arch) else TIMM_TAGS.get(weights, weights)


# -- timm --------------------------------------------------------------------------------------------------------------


def timm_card(name: str) -> Card:
    """Return the card of a network by timm's full name."""
    from sightsound_timm import timm_networks
    from sightsound_timm.depth import depth_of
    from sightsound_timm.frameworks import timm

    config = timm.get_pretrained_cfg(name)
    assert config is not None, name
    top1 = timm_top1().get(name)
    dim, params = timm_networks.sizes(name)
    classes = _timm_classes(config)
    return Card(
        name=name,
        modality="image",
        dim=dim,
        input_shape=tuple(config.input_size),
        classes=classes,
        scores="softmax" if classes else None,
        weights=(_timm_file(name, config),),
        options=LAYER_OPTIONS,
        constants=_timm_constants(config),
        params=params,
        depth=depth_of(lambda: timm_networks.blank(name), config.input_size),
        top1=top1,
        top1_source=TIMM_TOP1 if top1 is not None else "",
        license=config.license or "",
        about=f"timm's {name}" + (f", from {config.origin_url}" if config.origin_url else ""),
    )


@cache
def timm_top1() -> dict[str, float]:
    """Return the accuracy on ImageNet in per cent of each network in timm's results, at the input of its card."""
    lines = files("sightsound_timm").joinpath("timm_top1.tsv").read_text("utf-8").splitlines()
    return {name: float(top1) for name, _, top1 in (line.partition("\t") for line in lines)}


def _timm_constants(config: Any) -> dict[str, Any]:
    """Return the constants of `timm.data.create_transform`; other crops than a centred square are left to timm."""
    side = config.input_size[1]
    if config.crop_mode == "center" and config.input_size == (3, side, side) and config.crop_pct <= 1:
        resize = math.floor(side / config.crop_pct)
        return constants(resize, side, config.interpolation, config.mean, config.std)
    return {
        "input_size": list(config.input_size),
        "crop_pct": config.crop_pct,
        "crop_mode": config.crop_mode,
        "interpolation": config.interpolation,
        "mean": list(config.mean),
        "std": list(config.std),
    }


def _timm_file(name: str, config: Any) -> WeightFile:
    """Return where timm publishes the file; its hash is not known beforehand."""
    if config.hf_hub_id:
        repo, file = config.hf_hub_id, config.hf_hub_filename or "model.safetensors"
        sources = (f"hf:{repo}!{file}", f"https://huggingface.co/{repo}/resolve/main/{file}")
        return WeightFile(name=name + Path(file).suffix, sources=sources)
    if config.url:
        return WeightFile(name=config.url.rpartition("/")[2], sources=(config.url,))
    return WeightFile(name=f"{name}.safetensors")


def _timm_classes(config: Any) -> ClassList | None:
    """Return the classes with their WordNet ids; None if timm has no names for the outputs."""
    from sightsound_timm import timm_networks
    from sightsound_timm.frameworks import timm

    known = timm.data.imagenet_info
    count = timm_networks.class_count(config)
    subset = known.infer_imagenet_subset({"num_classes": count})
    if not count:
        return None
    if count == 1000 or subset is None:
        return imagenet1k()
    info = known.ImageNetInfo(subset)
    return ClassList(subset, tuple(info.label_descriptions()), tuple(info.label_names()))


# -- torchvision -------------------------------------------------------------------------------------------------------


def torchvision_card(name: str, arch: str, weights: Any) -> Card:
    """Return the card of an architecture and weights of torchvision under this name."""
    from sightsound_timm import torchvision_networks
    from sightsound_timm.depth import depth_of

    transform, meta = weights.transforms(), weights.meta
    classes, shape = tuple(meta["categories"]), (3, transform.crop_size[0], transform.crop_size[0])
    top1 = meta["_metrics"].get("ImageNet-1K", {}).get("acc@1")
    return Card(
        name=name,
        modality="image",
        dim=torchvision_networks.feature_count(arch, len(classes)),
        input_shape=shape,
        classes=imagenet1k() if len(classes) == 1000 else ClassList(f"torchvision_{arch}", classes),
        scores="softmax",
        weights=(WeightFile(name=weights.url.rpartition("/")[2], sources=(weights.url,)),),
        options=LAYER_OPTIONS,
        constants=constants(
            transform.resize_size[0],
            transform.crop_size[0],
            transform.interpolation.value,
            transform.mean,
            transform.std,
        ),
        params=meta["num_params"],
        depth=depth_of(lambda: torchvision_networks.blank(arch), shape),
        top1=top1,
        top1_source=TORCHVISION_TOP1 if top1 is not None else "",
        license=meta.get("license", "BSD-3-Clause"),
        about=f"torchvision's {arch}, weights {weights.name}",
    )
