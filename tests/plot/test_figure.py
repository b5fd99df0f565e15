"""Checks of figures before they are drawn."""

from __future__ import annotations

import importlib.util

import pytest

from sightsound import SightsoundError
from sightsound.plot.figure import check_figure, check_wordcloud, figure

pytest.importorskip("matplotlib", reason="needs the extra `plot`")
pytest.importorskip("wordcloud", reason="needs the extra `plot`")


@pytest.mark.parametrize("check", [check_figure, check_wordcloud])
def test_a_png_in_a_folder_that_exists_can_be_drawn(check, tmp_path):
    check(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("check", [check_figure, check_wordcloud])
def test_an_unknown_format_is_refused(check, tmp_path):
    with pytest.raises(SightsoundError, match=r"a\.docx: Format 'docx' is not supported; name a \.png"):
        check(tmp_path / "a.docx")


@pytest.mark.parametrize("check", [check_figure, check_wordcloud])
def test_a_folder_that_does_not_exist_is_refused(check, tmp_path):
    with pytest.raises(SightsoundError, match=r"none/a\.png: cannot be written \(No such file or directory\)"):
        check(tmp_path / "none" / "a.png")


@pytest.mark.parametrize(("check", "package"), [(check_figure, "matplotlib"), (check_wordcloud, "wordcloud")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(check, package, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find_spec(name))
    with pytest.raises(SightsoundError, match=rf"{package} is not installed; run `pip install sightsound\[plot\]`"):
        check(tmp_path / "a.png")


def test_an_error_while_drawing_leaves_the_old_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), figure(tmp_path / "a.png", 2, 2):
        raise ZeroDivisionError
    assert (tmp_path / "a.png").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
