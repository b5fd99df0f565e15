"""JSON values that cannot be changed: the constants of a card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def freeze(value: Any) -> Any:
    """Return a read-only copy of a JSON value: mappings become mapping proxies, lists become tuples."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: freeze(inner) for key, inner in value.items()})
    return tuple(map(freeze, value)) if isinstance(value, list | tuple) else value


def thaw(value: Any) -> Any:
    """Return a copy that `json.dumps` can write: mappings become dicts, tuples become lists."""
    if isinstance(value, Mapping):
        return {key: thaw(inner) for key, inner in value.items()}
    return list(map(thaw, value)) if isinstance(value, list | tuple) else value


def is_json(value: Any) -> bool:
    """Return whether JSON can hold this value and give it back equal; NaN and infinity cannot be held."""
    try:
        plain = thaw(value)
        return bool(json.loads(json.dumps(plain, allow_nan=False)) == plain)
    except (TypeError, ValueError, RecursionError):
        return False
