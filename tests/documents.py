"""What the pages of the documentation show: their commands with what these print, and their Python."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w.]*[A-Za-z_])")
SPAN = re.compile(r"\b\d+\.\d\d-\d+\.\d\d\b")
ELAPSED = re.compile(r"(?<= in )(?:\d+\.\d s|\d+:\d\d min|\d+:\d\d:\d\d h)\b")
SIZE = re.compile(r"\b\d+(?:\.\d)? [kMG]?B\b")
TIMES = "ms an item"
"""The header of the first of the columns with times of the machine, the last ones of their table."""

TOLERANCES = {0: 0.0, 1: 0.1, 2: 0.01}
"""The largest difference of numbers with so many decimals: counts are equal, others differ by one in the last place."""
FINE = 2e-3
"""The same with three decimals or more, which are scores: networks differ by less from one processor to another."""
SECONDS = 0.02
"""The same for the first and last second of a segment."""


@dataclass(frozen=True)
class Shown:
    """A command of a page, and the lines below it that are not empty."""

    command: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A line without its numbers, and they: value, decimals and tolerance."""

    text: str
    numbers: tuple[tuple[float, int, float], ...]

    def shows(self, printed: Line | None, *, rounded: bool = False) -> bool:
        """Return whether this is the line that was printed, where its numbers may be `rounded`."""
        if printed is None or self.text != printed.text:
            return False
        return all(
            abs(value - other) <= tolerance + 1e-9 and (rounded or decimals == others)
            for (value, decimals, tolerance), (other, others, _) in zip(self.numbers, printed.numbers)
        )


def blocks(page: Path, kind: str) -> list[str]:
    """Return the code blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[Shown]:
    """Return the commands of a page in their order."""
    return [
        Shown(command, tuple(line for line in below.splitlines() if line.strip()))
        for block in blocks(page, "console")
        for command, below in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]


def differences(shown: Iterable[str], printed: Iterable[str]) -> list[tuple[Line | None, Line | None]]:
    """Return the pairs of lines that differ. Every line must be shown, in its order; `...` stands for some lines."""
    wanted, found = list(_lines(shown)), list(_lines(printed))
    if any(line.text == "..." for line in wanted):
        rest = iter(found)
        return [(line, None) for line in wanted if line.text != "..." and not any(map(line.shows, rest))]
    pairs = itertools.zip_longest(wanted, found)
    return [(line, other) for line, other in pairs if line is None or not line.shows(other)]


def in_comment(printed: str, comment: str) -> bool:
    """Return whether a comment is a text that was printed, or one and, after a colon, an explanation.

    The comment may round numbers.
    """
    ends = [match.start() for match in re.finditer(": ", comment)]
    shown = [comment, *(comment[:end] for end in ends)]
    return any(_line(text).shows(_line(printed), rounded=True) for text in shown)


def _lines(texts: Iterable[str]) -> Iterator[Line]:
    """The lines that are not empty, with marks in place of times of the machine and sizes of files."""
    column = None
    for text in filter(str.strip, texts):
        tail = text[column:].split() if column else []
        if TIMES in text:
            column = text.index(TIMES)
        elif tail and all(map(NUMBER.fullmatch, tail)):
            text = text[:column] + len(tail) * " TIME"
        else:
            column = None
        yield _line(SIZE.sub("SIZE", ELAPSED.sub("TIME", text)))


def _line(text: str) -> Line:
    in_spans = {place for span in SPAN.finditer(text) for place in range(*span.span())}
    numbers = []
    for match in NUMBER.finditer(text):
        decimals = len(match.group().partition(".")[2])
        tolerance = SECONDS if match.start() in in_spans else TOLERANCES.get(decimals, FINE)
        numbers.append((float(match.group()), decimals, tolerance))
    return Line(" ".join(NUMBER.sub("#", text).split()), tuple(numbers))
