"""Words as queries, and vectors in files that say which space they are of."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

import sightsound
from made import register_variant
from sightsound import (
    Host,
    Library,
    PluginError,
    SightsoundError,
    SpaceMismatch,
    Text,
    Vectors,
    embed,
    hookimpl,
    index,
    save_embeddings,
    search,
)
from words_host import RED, words_host, write_colour, write_zoo

WORDS = ("colourwords.words", "soundwords.words")


@pytest.fixture
def host(monkeypatch):
    return words_host(monkeypatch, "tiny")


@pytest.fixture
def zoo(tmp_path):
    return write_zoo(tmp_path / "zoo")


@pytest.fixture
def library(host, zoo, tmp_path):
    index(zoo, tmp_path / "lib", models=[*WORDS, "colours.tiny"], host=host)
    with Library(tmp_path / "lib") as opened:
        yield opened


def paths(hits):
    return [hit.item.path for hit in hits]


@pytest.mark.parametrize("name", WORDS)
def test_the_networks_with_words_conform(host, name):
    assert [result for result in sightsound.check_model(name, host=host) if not result.passed] == []


# -- what words find -----------------------------------------------------------------------------------------------


def test_words_find_the_images_and_sounds_that_they_describe(library, host):
    def best(text, model):
        return paths(search(Text(text), library, host=host, models=[model]))[0]

    assert best("a red car", "colourwords.words") == "red.png"
    assert best("Blue!", "colourwords.words") == "blue.png"
    assert best("a loud dog", "soundwords.words") == "loud.wav"
    assert best("quiet", "soundwords.words") == "quiet.wav"


def test_the_score_is_the_cosine_of_the_rows_after_postprocess(library, host, zoo):
    hits = search(Text("green"), library, host=host, models=["colourwords.words"])
    text = np.array([0.25, -0.5, 0.5, -0.5])
    image = np.array([0.25, *(np.array([20, 200, 20]) / 255 - 0.5)])
    assert hits[0].item.path == "green.png"
    assert hits[0].score == pytest.approx(text @ image / np.linalg.norm(text) / np.linalg.norm(image), abs=1e-6)
    assert hits[0].query_seconds is None


def test_words_that_are_near_to_both_kinds_of_media_fuse_them(library, host):
    hits = search(Text("loud red"), library, host=host)
    assert {hits[0].item.path, hits[1].item.path} == {"red.png", "loud.wav"}
    assert hits[0].score == hits[1].score == pytest.approx(1 / 61)
    assert {hit.spaces for hit in hits} == {("colourwords.words",), ("soundwords.words",)}
    assert len(hits) == 5, "a space without words takes no part"


def test_two_networks_of_one_modality_fuse_their_ranks(library, host, zoo):
    import sightsound_words

    class Other(sightsound_words.ColourWords):
        card = dataclasses.replace(sightsound_words.COLOURS, name="other.words")

        def text(self, texts):
            self._tower = sightsound_words.TextTower("colourwords.words", 3)
            return super().text(texts)

    class Plugin:
        @hookimpl
        def register_embedders(self, register):
            register(Other.card, lambda device, weights: Other())

    host.register(Plugin(), "other")
    index(zoo, library, models=["other.words"], host=host)
    hits = search(Text("red"), library, host=host, models=["colourwords.words", "other.words"])
    assert paths(hits)[0] == "red.png" and hits[0].score == pytest.approx(2 / 61)
    assert hits[0].spaces == ("colourwords.words", "other.words")


def test_an_image_that_was_indexed_later_is_found(library, host, zoo):
    (zoo / "red.png").unlink()
    write_colour(zoo / "later.png", RED)
    index(zoo, library, models=WORDS, host=host)
    assert paths(search(Text("red"), library, host=host, models=["colourwords.words"], k=1)) == ["later.png"]


def test_indexing_does_not_build_the_part_for_words(library, host):
    import sightsound_words

    assert library.spaces and not sightsound_words.built
    search(Text("red"), library, host=host, models=["colourwords.words"])
    assert sightsound_words.built == {"colourwords.words": 1}


def test_a_stage_that_changes_numbers_changes_those_of_words_too(monkeypatch, zoo, tmp_path):
    host = words_host(monkeypatch, "whiten")
    plain = words_host(monkeypatch).load("colourwords.words").text(["red"])
    assert host.load("colourwords.words").text(["red"]) == pytest.approx((plain - 0.5) / 0.25, abs=1e-6)
    index(zoo, tmp_path / "white", models=["colourwords.words"], host=host)
    assert paths(search(Text("red"), tmp_path / "white", host=host, k=1)) == ["red.png"]


# -- what is refused -----------------------------------------------------------------------------------------------


def test_a_library_without_words_says_which_spaces_it_has(host, zoo, tmp_path):
    index(zoo, tmp_path / "lib", models=["colours.tiny", "loudness.tiny"], host=host)
    words = (
        "lib has no space of an installed network that takes words, only colours.tiny, loudness.tiny; "
        "index with one that does, such as --model colourwords.words"
    )
    with pytest.raises(SpaceMismatch, match=words):
        search(Text("red"), tmp_path / "lib", host=host)
    bare = Host(installed=False)
    with pytest.raises(SpaceMismatch, match=r"only .*; none is installed: see `sightsound models`"):
        search(Text("red"), tmp_path / "lib", host=bare)


def test_a_named_model_must_take_words(library, host):
    with pytest.raises(
        SightsoundError, match="colours.tiny: takes no words; name a model that does: colourwords.words"
    ):
        search(Text("red"), library, host=host, models=["colours.tiny"])


def test_a_named_model_must_be_in_the_library(host, zoo, tmp_path):
    index(zoo, tmp_path / "lib", models=["colourwords.words"], host=host)
    with pytest.raises(SpaceMismatch, match="lib has no vectors in space 'soundwords.words'"):
        search(Text("red"), tmp_path / "lib", host=host, models=["soundwords.words"])


def test_words_of_another_version_of_the_network_are_refused(library, host, monkeypatch):
    import sightsound_words

    changed = dataclasses.replace(sightsound_words.COLOURS, revision=2)
    monkeypatch.setattr(sightsound_words, "COLOURS", changed)
    monkeypatch.setattr(sightsound_words.ColourWords, "card", changed)
    other = words_host(monkeypatch)
    with pytest.raises(SpaceMismatch, match="from another space: revision: expected 1, got 2; use the"):
        search(Text("red"), library, host=other, models=["colourwords.words"])


def test_a_space_of_a_changed_network_is_left_out_with_a_warning(library, host, monkeypatch, caplog):
    import sightsound_words

    changed = dataclasses.replace(sightsound_words.COLOURS, revision=2)
    monkeypatch.setattr(sightsound_words, "COLOURS", changed)
    monkeypatch.setattr(sightsound_words.ColourWords, "card", changed)
    hits = search(Text("loud"), library, host=words_host(monkeypatch, "tiny"))
    assert paths(hits)[0] == "loud.wav" and "left out of this search: lib, colourwords.words" in caplog.text


@pytest.mark.parametrize("text", ["", "  ", 3, None])
def test_a_query_needs_words(text):
    with pytest.raises(SightsoundError, match=r"text: expected words, got"):
        Text(text)


def test_numbers_that_are_not_finite_name_the_network(library, host, monkeypatch):
    import sightsound_words

    monkeypatch.setattr(sightsound_words.TextTower, "vector", lambda self, text: [np.nan] * 3)
    with pytest.raises(PluginError, match="colourwords.words gave NaN or infinity for 'red'; run `sightsound check-mo"):
        search(Text("red"), library, host=host, models=["colourwords.words"])


# -- vectors with their space --------------------------------------------------------------------------------------


def test_rows_of_embed_are_a_query_in_their_own_space(library, host, zoo, tmp_path):
    save_embeddings(embed(zoo / "blue.png", "colourwords.words", host=host), tmp_path / "q.npz")
    vectors = Vectors.load(tmp_path / "q.npz")
    hits = search(vectors, library, host=Host(installed=False), k=1)
    assert paths(hits) == ["blue.png"] and hits[0].score == pytest.approx(1, abs=1e-6)
    assert hits[0].spaces == ("colourwords.words",)


def test_rows_of_another_space_are_refused(library, host, zoo, tmp_path, monkeypatch):
    other = register_variant(host, "other.tiny")
    save_embeddings(embed(zoo / "blue.png", other, host=host), tmp_path / "q.npz")
    words = r"lib has no vectors in space 'other.tiny'; it has colourwords.words, colours.tiny, soundwords.words; index"
    with pytest.raises(SpaceMismatch, match=words):
        search(Vectors.load(tmp_path / "q.npz"), library, host=host)
    import sightsound_words

    changed = dataclasses.replace(sightsound_words.COLOURS, revision=2)
    monkeypatch.setattr(sightsound_words, "COLOURS", changed)
    monkeypatch.setattr(sightsound_words.ColourWords, "card", changed)
    rows = embed(zoo / "blue.png", "colourwords.words", host=words_host(monkeypatch))
    save_embeddings(rows, tmp_path / "changed.npz")
    with pytest.raises(SpaceMismatch, match=r"lib has vectors of colourwords.words from another space \(fingerprint "):
        search(Vectors.load(tmp_path / "changed.npz"), library, host=host)


def test_a_model_chooses_among_the_spaces_of_vectors(library, host, zoo, tmp_path):
    save_embeddings(embed(zoo / "blue.png", "colourwords.words", host=host), tmp_path / "q.npz")
    vectors = Vectors.load(tmp_path / "q.npz")
    assert search(vectors, library, host=host, models=["colourwords.words"])
    with pytest.raises(SightsoundError, match="q.npz: no vectors of colours.tiny, only of colourwords.words"):
        search(vectors, library, host=host, models=["colours.tiny"])


def test_a_file_without_a_space_is_no_query(tmp_path):
    np.savez(tmp_path / "bare.npz", embeddings=np.ones((1, 4), np.float32))
    with pytest.raises(SightsoundError, match=r"bare.npz: expected the .npz of `sightsound embed --out`"):
        Vectors.load(tmp_path / "bare.npz")
    (tmp_path / "no.npz").write_text("no")
    with pytest.raises(SightsoundError, match=r"no.npz: expected the .npz of `sightsound embed --out`"):
        Vectors.load(tmp_path / "no.npz")
    with pytest.raises(SightsoundError, match=r"absent.npz: expected the .npz"):
        Vectors.load(tmp_path / "absent.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(SightsoundError, match=r"pipe.npz: expected the .npz"):
        Vectors.load(tmp_path / "pipe.npz")


def test_rows_of_several_layers_are_vectors_in_several_spaces(library, host, zoo, tmp_path, caplog):
    save_embeddings(embed(zoo / "blue.png", "colourwords.words", host=host), tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as one:
        arrays = {"layers": np.array(["a", "b"])}
        arrays |= {f"{key}[a]": one[key] for key in ("embeddings", "space", "fingerprint")}
        arrays |= {"embeddings[b]": np.ones((1, 5), np.float32), "space[b]": "other", "fingerprint[b]": "0"}
    np.savez(tmp_path / "two.npz", **arrays)
    vectors = Vectors.load(tmp_path / "two.npz")
    assert len(vectors.rows) == 2
    assert paths(search(vectors, library, host=host, k=1)) == ["blue.png"]
    assert "left out of this search: lib has no such vectors of other" in caplog.text


def test_a_search_by_words_does_not_build_the_network_for_images(library, host, monkeypatch):
    import sightsound_words

    prepared = []
    monkeypatch.setattr(sightsound_words.ColourWords, "prepare", lambda self: prepared.append(1), raising=False)
    assert search(Text("red"), library, host=host, models=["colourwords.words"])
    assert not prepared
    host.load("colourwords.words").rows(np.zeros((8, 8, 3), np.uint8))
    assert prepared == [1]
