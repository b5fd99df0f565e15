"""Words on the command line: `search --text`, `search --vector rows.npz`, and `tag --classes`."""

from __future__ import annotations

import json

import pytest

from words_host import write_zoo

PLUGINS = ("words", "tiny")


@pytest.fixture
def zoo(tmp_path):
    return write_zoo(tmp_path / "zoo")


@pytest.fixture
def run(command):
    return lambda *words, plugins=PLUGINS: command(*words, plugins=plugins)


@pytest.fixture
def library(run, zoo, tmp_path):
    models = [word for name in ("colourwords.words", "soundwords.words") for word in ("-m", name)]
    assert run("index", zoo, "-l", tmp_path / "lib", *models).returncode == 0
    return tmp_path / "lib"


def test_words_find_images_and_sounds(run, library):
    done = run("search", "--text", "a red car", "--library", library, "--json", "-m", "colourwords.words")
    hits = json.loads(done.stdout)
    assert hits[0]["path"] == "red.png" and {hit["path"] for hit in hits} == {"red.png", "green.png", "blue.png"}
    assert "loud.wav" in run("search", "--text", "loud", "-l", library, "-k", "2").stdout


def test_words_need_a_network_that_takes_them(run, zoo, tmp_path):
    run("index", zoo, "-l", tmp_path / "plain", "-m", "colours.tiny")
    done = run("search", "--text", "red", "-l", tmp_path / "plain")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "plain has no space of a network that takes words, only colours.tiny; index with one" in done.stderr


def test_the_rows_of_embed_are_a_query_in_their_own_space(run, library, zoo, tmp_path):
    run("embed", zoo / "blue.png", "-m", "colourwords.words", "-o", tmp_path / "q.npz")
    done = run("search", "--vector", tmp_path / "q.npz", "-l", library, "--json", "-k", "1")
    assert [hit["path"] for hit in json.loads(done.stdout)] == ["blue.png"]
    run("embed", zoo / "blue.png", "-m", "colours.tiny", "-o", tmp_path / "other.npz")
    done = run("search", "--vector", tmp_path / "other.npz", "-l", library)
    assert done.returncode == 2 and "lib has no vectors in space 'colours.tiny'" in done.stderr
