"""What became of an item that failed, as an `Outcome`."""

from __future__ import annotations

from sightsound.contract.errors import NotMedia, SightsoundError
from sightsound.contract.results import Item, Outcome, Status


def failed_outcome(item: Item, error: Exception) -> Outcome:
    """Return the outcome of an item that an error ended.

    Parameters
    ----------
    item : Item
        The item.
    error : Exception
        The error. `NotMedia` gives the status "not-media", every other one "failed".

    Returns
    -------
    Outcome
        With the error, and its text on one line as the reason.
    """
    status: Status = "not-media" if isinstance(error, NotMedia) else "failed"
    return Outcome(item, status, _one_line(item, error), error=error)


def _one_line(item: Item, error: Exception) -> str:
    """Return the text of an error on one line, without the item's name in front."""
    text = str(error) if isinstance(error, SightsoundError) else f"{type(error).__name__}: {error}"
    for name in (f"{item.file}: ", f"{item}: "):
        text = text.removeprefix(name)
    return " ".join(text.split())
