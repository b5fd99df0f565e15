"""HTML by which objects show themselves in a notebook: escaped texts, no script, nothing from the network."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sightsound.contract.paths import printable


def escaped(text: object) -> str:
    """Return a text that HTML shows as it is, on one line; None is empty."""
    return "" if text is None else html.escape(printable(text))


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> str:
    """Return a table.

    Parameters
    ----------
    header : sequence of str
        The names of the columns.
    rows : iterable of sequence of object
        The cells; None is an empty cell.
    title : str
        A text above it.
    """
    head = "".join(f"<th>{escaped(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows)
    above = f"<div>{escaped(title)}</div>" if title else ""
    return f"<div>{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


_media: list[Callable[[Any, tuple[float, float] | None], str]] = []


def show_media_with(show: Callable[[Any, tuple[float, float] | None], str]) -> None:
    """Let a function show the media of hits.

    Parameters
    ----------
    show : callable
        Takes an item, and start and stop in seconds or None, and returns HTML. The part that reads media gives it,
        since results know no media.
    """
    _media[:] = [show]


def media_html_of(item: Any, seconds: tuple[float, float] | None) -> str:
    """Return the media of an item as HTML; empty if nothing can show it."""
    return _media[0](item, seconds) if _media else ""
