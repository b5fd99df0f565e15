"""The file of a probe or a stack: safetensors, with everything that is no array as JSON in its header. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound._atomic import atomic_path
from sightsound.contract.errors import SightsoundError

FORMAT = 1
_KEY = "sightsound"
_HEADER = 64 * 2**20  # bytes of header that are read at most


def write(
    file: str | os.PathLike[str], kind: str, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]
) -> None:
    """Writes arrays and facts, which become JSON; the file appears when it is whole. Raises `SightsoundError` where it
    cannot be written."""
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    told = {"format": FORMAT, "kind": kind, "versions": _versions(), "sha256": _sum(whole), **facts}
    data = save(whole, {_KEY: json.dumps(told, sort_keys=True, allow_nan=False)})
    with atomic_path(file) as part:
        part.write_bytes(data)


def read(file: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What `write` wrote: the arrays, and the facts with `kind` and `versions`.

    Raises `SightsoundError` for a file that is none of ours, damaged, or newer than this program.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(file)
    try:
        with open(file, "rb") as opened:
            if int.from_bytes(opened.read(8), "little") > _HEADER:
                raise SightsoundError(_strange(name))
        with safe_open(name, framework="numpy") as tensors:
            told = json.loads((tensors.metadata() or {}).get(_KEY, "null"))
            arrays = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
    except OSError as error:
        raise SightsoundError(f"{name}: cannot be read ({error.strerror or error}); name a probe") from error
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SightsoundError(_strange(name)) from error
    if not isinstance(told, dict):
        raise SightsoundError(_strange(name))
    if told.get("format") != FORMAT:
        raise SightsoundError(
            f"{name}: expected a probe of format {FORMAT}, got {told.get('format')}; upgrade sightsound"
        )
    if told.get("sha256") != _sum(arrays):
        raise SightsoundError(f"{name}: damaged (its numbers have changed); take another copy of it")
    return arrays, told


def _sum(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of names, types, shapes and numbers."""
    found = hashlib.sha256()
    for key in sorted(arrays):
        found.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape};".encode())
        found.update(arrays[key].tobytes())
    return found.hexdigest()


def _strange(name: str) -> str:
    return f"{name}: expected a probe, got another file or a damaged one; make one: sightsound probe fit"


def _versions() -> dict[str, str]:
    return {"sightsound": metadata.version("sightsound"), "numpy": np.__version__, "python": platform.python_version()}
