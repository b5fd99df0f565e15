"""Names of OpenCLIP's networks: the cards of those that open_clip has weights for."""

from __future__ import annotations

import importlib.util
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from sightsound.plugin import Card
from sightsound_clip.cards import about, card_of, hub_weights

QUICK_GELU = "_quickgelu"
"""The end of open_clip's names for networks with another activation. The weights say it, so our names lack it."""


def is_mentioned(name: str) -> bool:
    """Return whether open_clip's files have this architecture and this tag; open_clip is not imported."""
    arch, _, tag = name.partition(".")
    folder = _package()
    if not tag or folder is None or arch not in _archs(folder):
        return False
    source = (folder / "pretrained.py").read_text("utf-8")
    return re.search(rf"\b{re.escape(tag)}\b", source) is not None


def find_card(name: str) -> Card | None:
    """Return the card of a network by name, or None if open_clip has no such weights.

    Parameters
    ----------
    name : str
        `arch.tag`. With the end `_quickgelu` of an architecture it is an alias.
    """
    arch, _, tag = name.partition(".")
    plain = arch.removesuffix(QUICK_GELU)
    found = _pretrained(arch, tag)
    if found is None:
        return None
    full = f"{plain}.{tag}"
    repo, _, file = _repository(found["hf_hub"])
    return card_of(
        full,
        config_of(full),
        found,
        (hub_weights(full, repo, file),),
        about=about(plain, tag),
        aliases=(name,) if name != full else (),
    )


def config_of(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of a network by its full name.

    The activation is the one that the weights were trained with. (`open_clip.create_model("ViT-B-32", "openai")` warns
    of the mismatch and runs the network with the wrong one.)

    Raises
    ------
    LookupError
        If open_clip has no such weights.
    """
    from sightsound_clip.frameworks import open_clip

    arch, _, tag = name.partition(".")
    found = _pretrained(arch, tag)
    folder = _package()
    if found is None or folder is None:
        raise LookupError(name)
    config: dict[str, Any] = deepcopy(open_clip.get_model_config(_archs(folder)[arch]))
    config["quick_gelu"] = bool(config.get("quick_gelu") or found.get("quick_gelu"))
    return config


def _pretrained(arch: str, tag: str) -> dict[str, Any] | None:
    """Return what open_clip says of weights, None if it has none of this name."""
    from sightsound_clip.frameworks import open_clip

    folder = _package()
    if folder is None or arch not in _archs(folder):
        return None
    found: dict[str, Any] = open_clip.get_pretrained_cfg(_archs(folder)[arch], tag)
    return found or None


def _repository(hub: str) -> tuple[str, str, str]:
    """Split `OWNER/NAME/FILE`, whose file may be empty, into repository and file."""
    owner, name, *rest = hub.split("/")
    return f"{owner}/{name}", "/", "/".join(rest)


def _package() -> Path | None:
    spec = importlib.util.find_spec("open_clip")
    return Path(spec.origin).parent if spec and spec.origin else None


@cache
def _archs(folder: Path) -> dict[str, str]:
    """Return open_clip's names of its configurations by ours."""
    return {file.stem.lower().replace("-", "_"): file.stem for file in (folder / "model_configs").glob("*.json")}
