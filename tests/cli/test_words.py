"""Words on the command line: `search --text`, `search --vector rows.npz`, and `tag --classes`."""

from __future__ import annotations

import json

import pytest

from words_host import write_zoo

PLUGINS = ("words", "tiny")
BOTH = ("-m", "colourwords.words", "-m", "soundwords.words")


@pytest.fixture
def zoo(tmp_path):
    return write_zoo(tmp_path / "zoo")


@pytest.fixture
def run(command):
    return lambda *words, plugins=PLUGINS: command(*words, plugins=plugins)


@pytest.fixture
def library(run, zoo, tmp_path):
    assert run("index", zoo, "-l", tmp_path / "lib", *BOTH).returncode == 0
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
    assert (
        "plain has no space of an installed network that takes words, only colours.tiny; index with one" in done.stderr
    )


def test_the_rows_of_embed_are_a_query_in_their_own_space(run, library, zoo, tmp_path):
    run("embed", zoo / "blue.png", "-m", "colourwords.words", "-o", tmp_path / "q.npz")
    done = run("search", "--vector", tmp_path / "q.npz", "-l", library, "--json", "-k", "1")
    assert [hit["path"] for hit in json.loads(done.stdout)] == ["blue.png"]
    run("embed", zoo / "blue.png", "-m", "colours.tiny", "-o", tmp_path / "other.npz")
    done = run("search", "--vector", tmp_path / "other.npz", "-l", library)
    assert done.returncode == 2 and "lib has no vectors in space 'colours.tiny'" in done.stderr


# -- classes in words ----------------------------------------------------------------------------------------------


def test_a_folder_is_tagged_with_classes_in_words(run, zoo):
    done = run("tag", zoo, *BOTH, "--classes", "red, blue,loud,quiet", "--json")
    found = {each["path"]: each for each in json.loads(done.stdout)}
    assert done.returncode == 0 and found["red.png"]["top"][0]["label"] == "red"
    assert {segment["label"] for segment in found["loud.wav"]["segments"]} == {"loud"}


def test_classes_that_are_given_one_by_one_may_have_commas(run, zoo):
    done = run("tag", zoo / "red.png", *BOTH, "--classes", "red, like a rose", "--classes", "blue", "-k", "9")
    assert [line.split(maxsplit=1)[1] for line in done.stdout.splitlines()[1:]] == ["red, like a rose", "blue"]


def test_a_stream_is_tagged_with_classes_in_words(command, zoo):
    given = (zoo / "quiet.wav").read_bytes()
    done = command("tag", "-", "-m", "soundwords.words", "--classes", "loud,quiet", plugins=PLUGINS, given=given)
    assert done.returncode == 0 and "quiet" in done.stdout.splitlines()[0], done.stderr


def test_classes_come_from_the_lines_of_a_file(run, zoo, tmp_path):
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffred, like a rose\r\n\nblue\n".encode())
    done = run("tag", zoo / "red.png", *BOTH, "--classes", file, "--template", "{}", "--template", "a {} one")
    assert [line.split(maxsplit=1)[1] for line in done.stdout.splitlines()[1:]] == ["red, like a rose", "blue"]
    file.write_bytes(b"red\xff\nblue")
    done = run("tag", zoo / "red.png", *BOTH, "--classes", file)
    assert done.returncode == 2 and "labels.txt: expected a class on each line, got: it is not UTF-8" in done.stderr


def test_a_library_is_tagged_with_classes_in_words_without_its_files(run, library, zoo):
    known = json.loads(run("tag", zoo, *BOTH, "--classes", "red,blue,loud,quiet", "--json").stdout)
    for file in zoo.iterdir():
        file.unlink()
    done = run("tag", "--library", library, "--classes", "red,blue,loud,quiet", "--json")
    found = {each["path"]: each for each in json.loads(done.stdout)}
    assert done.returncode == 0 and len(found) == 5, done.stderr
    for each in known:
        assert found[each["path"]]["top"][0]["label"] == each["top"][0]["label"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--template", "a {}"], "templates: expected classes in words, which they are for, got none; give --classes"),
        (["--classes", "red,blue", "--template", "a"], "templates: expected texts with {} in place of the class"),
        (["--classes", "red"], "classes: expected two or more, got 'red'"),
        (["--classes", "red,red"], "classes: expected each once, got 'red' twice"),
        (["--classes", "red,blue", "-m", "colours.tiny"], "colours.tiny: takes no words; name a model that does"),
        (["--classes", ""], "--classes: expected names, got none"),
    ],
)
def test_wrong_classes_are_refused_in_one_line(run, zoo, words, text):
    done = run("tag", zoo, *words)
    assert done.returncode == 2 and text in done.stderr and done.stdout == ""
    assert len([line for line in done.stderr.splitlines() if line.startswith("sightsound: ")]) <= 1
