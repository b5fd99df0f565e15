"""docs/architecture.md says what the code is: its picture is drawn anew, and the files that it names exist."""

from __future__ import annotations

import re
import runpy

from import_graph import ROOT, SRC

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_picture_shows_the_imports_of_the_code():
    draw = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))["draw"]
    assert (ROOT / "docs" / "architecture.svg").read_text("utf-8") == draw(), "run docs/draw_architecture.py"


def test_every_module_that_the_page_names_exists():
    named = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE)
    assert len(named) > 15
    assert [name for name in named if not (SRC / name).is_file() and not (ROOT / name).is_file()] == []
