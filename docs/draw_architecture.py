"""Draw docs/architecture.svg from the imports of the source: a box for each wing, an arrow for each "may import".

Run `python docs/draw_architecture.py`. Arrows that follow from others are left out, as are the private modules.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from import_graph import SRC, arrows  # noqa: E402

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 236, 92, 20, 46, 16
"""Sizes in pixels of a box, of the gaps between boxes, and of the border."""

COLUMNS = [["linear"], ["cli", "plot", "learn", "library", "classify", "pipeline", "host", "weights", "contract"]]
COLUMNS += [["media", "formats"], ["testing", "plugin", "torch"]]
"""The wings from left to right; what a wing imports decides how high it stands."""


def wings() -> dict[str, set[str]]:
    """Return the wings and what each imports, without private modules; `cli` imports what nothing else does."""
    names = {path.name for path in SRC.iterdir() if (path / "__init__.py").is_file()} | {"plugin"}
    edges: dict[str, set[str]] = {name: set() for name in names}
    for here, there in arrows():
        if here in names and there in names:
            edges[here].add(there)
    imported = set().union(*edges.values())
    edges["cli"] = names - imported - {"cli", "torch", "plugin"}
    return edges


def reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    """Return all wings below `start`."""
    return set().union(*({other} | reachable(edges, other) for other in edges[start]))


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the arrows that do not follow from others."""
    return {
        here: {there for there in below if not any(there in reachable(edges, other) for other in below - {there})}
        for here, below in edges.items()
    }


def levels(edges: dict[str, set[str]]) -> dict[str, int]:
    """Return the length of the longest chain of imports below each wing."""
    found: dict[str, int] = {}
    while len(found) < len(edges):
        for name, below in edges.items():
            if name not in found and below <= set(found):
                found[name] = 1 + max((found[other] for other in below), default=-1)
    return found


def charter(wing: str) -> str:
    """Return the first sentence of a wing's docstring."""
    file = SRC / wing / "__init__.py"
    text = ast.get_docstring(ast.parse((file if file.is_file() else SRC / f"{wing}.py").read_text("utf-8"))) or ""
    return text.partition("\n")[0]


def curve(start: tuple[int, int], end: tuple[int, int], *, near: bool) -> str:
    """Return the path from one box to another below it: between two rows, or round the boxes in between."""
    (x, y), (u, v) = start, end
    u += WIDTH // 2
    if near or x + WIDTH // 2 == u:
        x, y = x + WIDTH // 2, y + HEIGHT
        middle = (y + v) // 2
        return f"M{x} {y}C{x} {middle} {u} {middle} {u} {v}"
    x, y = (x + WIDTH if u > x else x), y + HEIGHT // 2
    return f"M{x} {y}C{u} {y} {u} {y} {u} {y + HEIGHT}L{u} {v}"


def draw() -> str:
    """Return the picture as SVG."""
    edges = wings()
    level = levels(edges)
    top = max(level.values())
    size = (2 * MARGIN + len(COLUMNS) * (WIDTH + GAP_X) - GAP_X, 2 * MARGIN + (top + 1) * (HEIGHT + GAP_Y) - GAP_Y)
    place = {
        name: (MARGIN + column * (WIDTH + GAP_X), MARGIN + (top - level[name]) * (HEIGHT + GAP_Y))
        for column, names in enumerate(COLUMNS)
        for name in names
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif">',
        "<title>The wings of sightsound; an arrow points to what a wing imports</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#777"/></marker></defs>',
        f'<rect width="{size[0]}" height="{size[1]}" fill="white"/>',
    ]
    for here, below in sorted(reduced(edges).items()):
        for there in sorted(below):
            path = curve(place[here], place[there], near=level[here] - level[there] == 1)
            lines.append(f'<path d="{path}" fill="none" stroke="#777" marker-end="url(#tip)"/>')
    for name, (x, y) in sorted(place.items()):
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef3f8" stroke="#35618f"/>'
        )
        lines.append(
            f'<text x="{x + 10:g}" y="{y + 20:g}" font-size="15" font-weight="bold" fill="#1c3f63">{name}</text>'
        )
        for i, line in enumerate(textwrap.wrap(charter(name), 36)[:4]):
            lines.append(f'<text x="{x + 10:g}" y="{y + 37 + 15 * i:g}" font-size="11.5">{escape(line)}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    (ROOT / "docs" / "architecture.svg").write_text(draw(), "utf-8")
