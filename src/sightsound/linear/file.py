"""Read and write the file of a probe or a stack: safetensors, with JSON in its header, and no pickle."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound._atomic import atomic_path
from sightsound.contract.errors import SightsoundError

FORMAT = 4
"""The newest format. Format 1 had no square root, and no scaling to length 1. Format 4 uses the scores of a network;
format 3 has a centre, and 2 has neither."""
_FORMATS = (1, 2, 3, 4)
_KEY = "sightsound"
_MAX_HEADER = 64 * 2**20  # bytes


def write(
    file: str | os.PathLike[str], kind: str, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write arrays and metadata to one file, atomically.

    Parameters
    ----------
    file : path
        The file.
    kind : str
        `probe` or `stack`.
    arrays : mapping of arrays
        Arrays by name.
    metadata : mapping
        Values for JSON.

    Raises
    ------
    SightsoundError
        Where the file cannot be written.
    """
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    has_centre = any(name.split(".")[-1] == "centre" for name in contiguous)
    uses_scores = "use" in (metadata.get("origin") or {})
    header = {
        "format": FORMAT if uses_scores else 3 if has_centre else 2,
        "kind": kind,
        "versions": _versions(),
        **metadata,
    }
    header["sha256"] = _checksum(contiguous, header)
    data = save(contiguous, {_KEY: json.dumps(header, sort_keys=True, allow_nan=False)})
    with atomic_path(file) as part:
        part.write_bytes(data)


def read(file: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and the metadata of a file that `write` wrote.

    Parameters
    ----------
    file : path
        The file.

    Returns
    -------
    arrays, metadata
        As they were written. The metadata also have `format`, `kind`, `versions` and `sha256`.

    Raises
    ------
    SightsoundError
        For another file, one that is damaged, and one of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(file)
    try:
        with open(file, "rb") as opened:
            if int.from_bytes(opened.read(8), "little") > _MAX_HEADER:
                raise SightsoundError(_not_a_probe(name))
        with safe_open(name, framework="numpy") as tensors:
            metadata = json.loads((tensors.metadata() or {}).get(_KEY, "null"))
            arrays = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
    except OSError as error:
        raise SightsoundError(f"{name}: cannot be read ({error.strerror or error}); name a probe") from error
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SightsoundError(_not_a_probe(name)) from error
    _check(name, arrays, metadata)
    return arrays, metadata


def _check(name: str, arrays: Mapping[str, NDArray[Any]], metadata: Any) -> None:
    """Raise `SightsoundError` for another file, another format, or arrays with another checksum."""
    if not isinstance(metadata, dict):
        raise SightsoundError(_not_a_probe(name))
    if metadata.get("format") not in _FORMATS:
        raise SightsoundError(
            f"{name}: expected a probe of format {FORMAT} or less, got {metadata.get('format')}; upgrade sightsound"
        )
    expected = {_checksum(arrays, metadata)}
    if metadata["format"] == 1:  # early files cover the arrays alone
        expected.add(_checksum(arrays))
    if metadata.get("sha256") not in expected:
        raise SightsoundError(f"{name}: damaged (its content has changed); take another copy of it")


def _checksum(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any] | None = None) -> str:
    """Return the SHA-256 of names, dtypes, shapes and numbers, and of the metadata without their own checksum."""
    digest = hashlib.sha256()
    if metadata is not None:
        rest = {key: value for key, value in metadata.items() if key != "sha256"}
        digest.update(json.dumps(rest, sort_keys=True).encode())
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape};".encode())
        digest.update(arrays[key].tobytes())
    return digest.hexdigest()


def _not_a_probe(name: str) -> str:
    return f"{name}: expected a probe, got another file or a damaged one; make one: sightsound probe fit"


def _versions() -> dict[str, str]:
    own = importlib.metadata.version("sightsound")
    return {"sightsound": own, "numpy": np.__version__, "python": platform.python_version()}
