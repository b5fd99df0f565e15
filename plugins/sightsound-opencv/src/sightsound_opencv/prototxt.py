"""Protobuf's text format, in which the layers of a Caffe network are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Message = dict[str, list[Any]]
"""The values of each field in order: texts as they are written (quoted ones without quotes), and messages."""

_TOKEN = re.compile(
    r"""[\s,;]+ | \#[^\n]* | (?P<text>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*') | (?P<mark>[{}<>\[\]:])
    | (?P<word>[-+.\w/]+)""",
    re.VERBOSE,
)


def parse(text: str) -> Message:
    """Return the message that a text says.

    Parameters
    ----------
    text : str
        For example `layer { name: "fc" inner_product_param { num_output: 5 } }`.

    Raises
    ------
    ValueError
        If it is not in this format; the text begins with the number of the line.

    Returns
    -------
    Message
    """
    top: Message = {}
    open_: list[tuple[Message, str]] = [(top, "")]
    line, field, listed = 1, "", False
    for line, kind, token in _tokens(text):
        message, end = open_[-1]
        if token in ("{", "<") and field:
            inner: Message = {}
            message.setdefault(field.removesuffix(":"), []).append(inner)
            open_.append((inner, "}" if token == "{" else ">"))
            field = ""
        elif token == end and not field:
            open_.pop()
        elif token == ":" and field and not field.endswith(":"):
            field += ":"
        elif token in "[]" and kind == "mark" and field.endswith(":") and listed == (token == "]"):
            listed = not listed
            field = field if listed else ""
        elif kind != "mark" and field.endswith(":"):
            message.setdefault(field[:-1], []).append(token)
            field = field if listed else ""
        elif kind == "word" and not field:
            field = token
        else:
            raise ValueError(f"line {line}: expected a field and its value, got {token[:40]!r}")
    if len(open_) > 1 or field:
        raise ValueError(f"line {line}: expected more, got the end of the file")
    return top


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the kind and the text of each token."""
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"line {line}: expected a field and its value, got {text[at : at + 20]!r}")
        kind, token = found.lastgroup, found.group()
        if kind:
            yield line, kind, token[1:-1] if kind == "text" else token
        line += token.count("\n")
        at = found.end()
