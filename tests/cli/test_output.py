"""Tables, JSON, sizes and durations as the commands print them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from wcwidth import wcswidth

from sightsound.cli import output


def test_columns_are_as_wide_as_their_cells_and_numbers_are_on_the_right(capsys):
    output.print_table(["name", "items", "note"], [("a", 5, None), ("longer", 1234, "x")])
    assert capsys.readouterr().out == "name    items  note\na           5\nlonger   1234  x\n"


NAMES = ["犬の声.wav", "고양이.wav", "e\u0301te\u0301.wav", "ete.wav", "🐕.wav", "ｗｉｄｅ.wav"]


def test_columns_of_wide_and_combining_characters_are_aligned(capsys):
    """Chinese, Japanese and Korean characters take two columns of a terminal; combining accents take none."""
    output.print_table(["path", "score"], [(name, i) for i, name in enumerate(NAMES)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["path", *NAMES]
    assert {wcswidth(line) for line in lines} == {2 * len("ｗｉｄｅ") + len(".wav") + 2 + len("score")}


def test_control_characters_are_escaped_and_take_the_width_of_the_escape(capsys):
    output.print_table(["a", "b"], [("\x1b[31m\n", "x"), ("caf\udce9", "y")])
    assert capsys.readouterr().out == "a           b\n\\x1b[31m\\n  x\ncaf\\xe9     y\n"


def test_a_table_without_rows_is_its_header(capsys):
    output.print_table(["a", "b"], [])
    assert capsys.readouterr().out == "a  b\n"


def test_json_takes_arrays_and_keeps_names_that_are_not_utf_8(capsys):
    output.print_json({"rows": np.ones((1, 2), np.float32), "name": "\udce9"})
    text = capsys.readouterr().out
    assert text.isascii() and json.loads(text) == {"rows": [[1.0, 1.0]], "name": "\udce9"}


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "unknown"), (1, "1 B"), (999, "999 B"), (1000, "1.0 kB"), (1_660_000, "1.7 MB"), (5_000_000_000, "5.0 GB")],
)
def test_sizes_have_a_unit(count, text):
    assert output.format_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1:00 min"), (3599.6, "1:00:00 h"), (7325, "2:02:05 h")],
)
def test_durations_are_seconds_minutes_or_hours(seconds, text):
    assert output.format_duration(seconds) == text


def test_text_is_written_to_a_file_or_to_standard_output(tmp_path, capsys):
    output.write_text("a\n", str(tmp_path / "a.txt"))
    assert (tmp_path / "a.txt").read_text() == "a\n" and capsys.readouterr().out == ""
    output.write_text("b", None)
    assert capsys.readouterr().out == "b"


def test_one_thing_is_singular():
    assert [output.count_of(n, "item") for n in (0, 1, 2)] == ["0 items", "1 item", "2 items"]
