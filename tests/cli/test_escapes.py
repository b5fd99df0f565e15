"""No control character of a name, label, option or server reaches the terminal."""

from __future__ import annotations

import os
import sqlite3

import numpy as np
import pytest
import soundfile

from made import RATE, loud_and_silent
from sightsound.cli import output

ESC = "\x1b]0;PWNED\x07\x1b[31m"
MODEL = ("-m", "loudness.tiny")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="such names are for POSIX file systems")


def check_plain(done, shown: bool = True):
    text = done.stdout + done.stderr
    assert "\x1b" not in text and "\x07" not in text and "Traceback" not in text, text
    assert not shown or r"\x1b]0;PWNED\x07" in text, text


@pytest.fixture
def folder(tmp_path):
    """Recordings and others, with control characters in every name."""
    there = tmp_path / f"folder{ESC}"
    there.mkdir()
    for name in ("a", "b"):
        soundfile.write(there / f"{name}{ESC}\nall fine.wav", loud_and_silent(2, 3), RATE, "FLOAT", format="WAV")
    soundfile.write(there / f"quiet{ESC}.wav", np.zeros(3 * RATE), RATE, "FLOAT", format="WAV")
    (there / f"broken{ESC}.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (there / f"link{ESC}\nall fine").symlink_to(tmp_path)
    return there


@pytest.fixture
def library(command, folder, tmp_path):
    table = tmp_path / f"labels{ESC}.csv"
    rows = [f'"{name}{ESC}\nall fine.wav","dog{ESC}"' for name in ("a", "b", "gone")]
    table.write_text(f"path,colour{ESC}\n" + "\n".join(rows) + "\n")
    done = command("index", folder, "-l", tmp_path / f"lib{ESC}", *MODEL, "--label-from", table)
    check_plain(done)
    assert done.returncode == 1 and "forged" not in done.stderr
    assert sum("all fine" in line for line in done.stderr.splitlines()) == 2, "each name stays on its line"
    return tmp_path / f"lib{ESC}"


def test_names_and_labels_of_a_library(command, folder, library, tmp_path):
    check_plain(command("search", "--id", "1", "-l", library))
    check_plain(command("stats", "-l", library))
    check_plain(command("forget", folder / f"a{ESC}\nall fine.wav", "-l", library))
    check_plain(command("relocate", folder, tmp_path / f"new{ESC}", "-l", library))


def test_texts_of_a_library_from_somebody_else(command, library):
    with sqlite3.connect(library / "library.sqlite") as opened:
        columns = [
            (table, column[1])
            for (table,) in opened.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            for column in opened.execute(f"PRAGMA table_info({table})").fetchall()
            if "TEXT" in column[2].upper() and column[1] in ("reason", "flags", "status", "value", "key", "label")
        ]
        assert columns
        for table, column in columns:
            opened.execute(f"UPDATE OR IGNORE {table} SET {column} = {column} || ?", (ESC,))
    for words in (("stats",), ("search", "--id", "1"), ("check",), ("forget", "--missing")):
        check_plain(command(*words, "-l", library), shown=False)


def test_names_of_files_to_tag_and_embed(command, folder, tmp_path):
    for words in ((folder,), (folder / f"a{ESC}\nall fine.wav", folder / f"broken{ESC}.png")):
        for form in ((), ("--csv",), ("--raven",)):
            check_plain(command("tag", *words, *MODEL, *form))
        check_plain(command("embed", *words, *MODEL, "-o", tmp_path / f"x{ESC}.npz"))


OPTIONS = [
    ("tag", f"gone{ESC}"),
    ("tag", "{}", "-m", f"model{ESC}"),
    ("tag", "{}", *MODEL, "--include", f"class{ESC}"),
    ("tag", "{}", *MODEL, "--csv", "-o", f"gone{ESC}/x.csv"),
    ("tag", "{}", *MODEL, f"--{ESC}"),
    ("tag", "{}", *MODEL, "--channels", ESC),
    ("tag", "{}", *MODEL, "--threshold", ESC),
    ("tag", "{}", *MODEL, "--plot", f"x.{ESC}"),
    ("tag", "{}", *MODEL, "--probe", f"x.{ESC}"),
    ("index", f"gone{ESC}", "-l", "lib"),
    ("search", "--id", "1", "-l", f"lib{ESC}"),
    ("search", "--vector", f"x{ESC}", "-l", "lib"),
    ("probe", "show", f"x{ESC}.probe"),
    ("ontology", "show", ESC),
    ("weights", "path", ESC),
    ("check-model", ESC),
    ("models", "layers", ESC),
    (ESC,),
    ("--weights", ESC, "models"),
    ("--block", ESC, "models"),
]


@pytest.mark.parametrize("words", OPTIONS, ids=[" ".join(map(ascii, words)) for words in OPTIONS])
def test_what_the_user_typed(command, tmp_path, words, monkeypatch):
    """A shell puts the names of files in the place of `*`, so options are not always typed by the user."""
    monkeypatch.chdir(tmp_path)
    soundfile.write(tmp_path / "a.wav", loud_and_silent(2), RATE, "FLOAT")
    done = command(*(word.format("a.wav") for word in words))
    check_plain(done, shown=False)
    assert done.returncode == 2 or words[0] == "--block"


def test_the_reason_that_a_server_gives(command, monkeypatch):
    """It reaches the message through the error of the HTTP library."""
    from sightsound.contract.errors import MissingWeights
    from sightsound.weights.store import Store

    def refuse(self, file, **_):
        raise MissingWeights(f"{file.name}: HTTP Error 404: {ESC}gone\nall fine")

    monkeypatch.setattr(Store, "get", refuse)
    for words in (("--all",), ("ontology",)):
        done = command("weights", "get", *words)
        check_plain(done)
        assert done.returncode in (1, 2) and not any(line == "all fine" for line in done.stderr.splitlines())


def test_what_is_printed_keeps_lines_and_escapes_the_rest(capsys):
    output.echo(f"one\ntwo{ESC}")
    output.print_line(f"three{ESC}")
    assert capsys.readouterr().out == "one\ntwo\\x1b]0;PWNED\\x07\\x1b[31m\nthree\\x1b]0;PWNED\\x07\\x1b[31m\n"


def test_paths_for_programs_are_exact_but_not_on_a_terminal(capfdbinary, monkeypatch):
    output.echo(b"a\x1b\xe9")
    assert capfdbinary.readouterr().out == b"a\x1b\xe9\n"
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.echo(b"a\x1b\xe9")
    assert capfdbinary.readouterr().out == b"a\\x1b\\xe9\n"
