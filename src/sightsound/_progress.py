"""The bar that long work shows: items, rate, time left."""

from typing import Any


def bar(total: int, what: str, shown: bool | None) -> Any:
    """A tqdm bar over files; where nobody says whether it is `shown`, on a terminal and in a notebook."""
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="file", desc=what, disable=None if shown is None else not shown)
