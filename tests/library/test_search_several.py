"""Several libraries are searched at once, and answer as one."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import made
from made import write_image, write_shade, write_sound
from sightsound import (
    Filter,
    Library,
    LibraryError,
    SightsoundError,
    SpaceMismatch,
    index,
    list_items,
    search,
    search_tags,
)
from sightsound.cli.search import search as command

MODELS = ["colours.tiny", "tints.tiny", "loudness.tiny"]


@pytest.fixture
def several(tiny, tmp_path):
    """Two libraries of images and sounds that share a content, and one of everything."""
    made.register_tints(tiny)
    for i in range(9):
        write_shade(tmp_path / "ab"[i % 2] / f"{i}.png", i % 3, i, noise=20)
    write_sound(tmp_path / "b" / "s.wav", 1, seconds=3)
    shutil.copy(tmp_path / "a" / "4.png", tmp_path / "b" / "copy.png")
    for name, folders in (("lib-a", "a"), ("lib-b", "b"), ("all", "ab")):
        for folder in folders:
            index(tmp_path / folder, tmp_path / name, models=MODELS, host=tiny, label_from="folder")
    write_shade(tmp_path / "query.png", 1, 50, noise=20)
    return [tmp_path / "lib-a", tmp_path / "lib-b"]


def summary(hits):
    return [(hit.item.path, round(hit.score, 6)) for hit in hits]


@pytest.mark.parametrize("models", [["colours.tiny"], ["tints.tiny"]])
def test_hits_are_those_of_one_library_of_everything(several, tiny, tmp_path, models):
    hits = search(tmp_path / "query.png", several, k=20, models=models, host=tiny)
    whole = search(tmp_path / "query.png", tmp_path / "all", k=20, models=models, host=tiny)
    assert summary(hits) == [each for each in summary(whole) if each[0] != "copy.png"]
    assert {hit.library for hit in hits} == {str(each) for each in several}
    assert all((tmp_path / hit.library[-1] / hit.item.path).exists() for hit in hits)
    first = search(tmp_path / "query.png", several, k=3, models=models, host=tiny)
    assert summary(first) == summary(hits)[:3]
    assert all(hit.library == "" for hit in whole)


def test_the_same_content_is_one_hit_of_the_first_library(several, tiny, tmp_path):
    for libraries in (several, several[::-1]):
        hits = search(tmp_path / "query.png", libraries, k=20, host=tiny)
        (found,) = [hit for hit in hits if hit.item.path in ("4.png", "copy.png")]
        assert found.library == str(libraries[0]) and len(hits) == 9


def test_ranks_of_several_networks_are_fused_over_all_libraries(several, tiny, tmp_path):
    for name in ("lib-b", "all"):
        shutil.rmtree(tmp_path / name)
    (tmp_path / "b" / "copy.png").unlink()
    for folder in "ab":
        index(tmp_path / folder, tmp_path / "all", models=MODELS, host=tiny)
    index(tmp_path / "b", tmp_path / "lib-b", models=MODELS, host=tiny)
    hits = search(tmp_path / "query.png", several, k=20, host=tiny)
    whole = search(tmp_path / "query.png", tmp_path / "all", k=20, host=tiny)
    assert dict(summary(hits)) == dict(summary(whole)) and all(len(hit.spaces) == 2 for hit in hits)


def test_a_content_that_each_library_has_in_another_space_is_one_hit(tiny, tmp_path):
    made.register_tints(tiny)
    write_image(tmp_path / "a" / "0.png", 0)
    write_image(tmp_path / "b" / "same.png", 0)
    index(tmp_path / "a", tmp_path / "lib-a", models=["colours.tiny"], host=tiny)
    index(tmp_path / "b", tmp_path / "lib-b", models=["tints.tiny"], host=tiny)
    write_image(tmp_path / "query.png", 3)
    (hit,) = search(tmp_path / "query.png", [tmp_path / "lib-a", tmp_path / "lib-b"], host=tiny)
    assert hit.item.path == "0.png" and set(hit.spaces) == {"colours.tiny", "tints.tiny"}


def test_several_queries_windows_filters_and_vectors(several, tiny, tmp_path):
    one, two = search([tmp_path / "query.png", tmp_path / "a" / "0.png"], several, host=tiny, models=["colours.tiny"])
    assert summary(one) == summary(search(tmp_path / "query.png", several, host=tiny, models=["colours.tiny"]))
    assert "0.png" not in dict(summary(two))
    labelled = search(tmp_path / "query.png", several, host=tiny, where=Filter(labels=("b",)))
    assert {hit.library for hit in labelled} == {str(several[1])} and "copy.png" in dict(summary(labelled))
    windows = search(f"{tmp_path / 'b' / 's.wav'}@0-1", several, host=tiny, per="window", copies=True)
    assert windows and windows[0].item.path == "s.wav" and windows[0].seconds
    assert search(np.ones(48), several, models=["colours.tiny"], host=tiny)


def test_a_library_that_cannot_answer_is_left_out(several, tiny, tmp_path, caplog):
    hits = search(tmp_path / "b" / "s.wav", several, host=tiny, copies=True)
    assert [hit.item.path for hit in hits] == ["s.wav"]
    assert "left out of this search: lib-a has no sounds" in caplog.text
    with pytest.raises(SpaceMismatch, match="has no sounds"):
        search(tmp_path / "b" / "s.wav", several[:1], host=tiny)


def test_mistakes(several, tiny):
    with pytest.raises(SightsoundError, match="an id belongs to one library"):
        search(1, several, host=tiny)
    with pytest.raises(SightsoundError, match="modality sound: expected image"):
        search(np.ones(48), several, host=tiny, models=["colours.tiny"], where=Filter(modality="sound"))
    with pytest.raises(LibraryError, match="expected at least one, got none"):
        search("x.png", [], host=tiny)


def test_a_file_is_embedded_once(several, tiny, tmp_path):
    calls = []

    def embed(inner, inputs):
        calls.append(len(inputs))
        return inner.embed(inputs)

    made.register_variant(tiny, "counted.tiny", embed=embed)
    for folder, library in zip("ab", several):
        index(tmp_path / folder, library, models=["counted.tiny"], host=tiny)
    calls.clear()
    assert search(tmp_path / "query.png", several, models=["counted.tiny"], host=tiny)
    assert calls == [1]


def test_tags_of_several_libraries(tiny, tmp_path):
    for number, name in enumerate("ab"):
        write_sound(tmp_path / name / "s.wav", number, seconds=2)
        index(tmp_path / name, tmp_path / f"lib-{name}", models=["loudness.tiny"], host=tiny)
    hits = search_tags("quiet", [tmp_path / "lib-a", tmp_path / "lib-b"], host=tiny, k=9)
    each = [hit.score for name in "ab" for hit in search_tags("quiet", tmp_path / f"lib-{name}", host=tiny, k=9)]
    assert [hit.score for hit in hits] == sorted(each, reverse=True)
    assert {hit.library for hit in hits} == {str(tmp_path / "lib-a"), str(tmp_path / "lib-b")}


def test_the_command_line_names_the_library_of_each_hit(several, tiny, tmp_path):
    words = [str(tmp_path / "query.png"), *(word for each in several for word in ("-l", str(each)))]
    ran = CliRunner().invoke(command, [*words, "-k", "2"], obj=tiny)
    assert ran.exit_code == 0 and ran.output.splitlines()[0].split() == ["ranks", "library", "id", "path", "labels"]
    found = json.loads(CliRunner().invoke(command, [*words, "-k", "20", "--json"], obj=tiny).output)
    assert {hit["library"] for hit in found} == {str(each) for each in several}
    found = json.loads(CliRunner().invoke(command, [*words[:3], "--json"], obj=tiny).output)
    assert found and "library" not in found[0]
    found = json.loads(CliRunner().invoke(command, [*words, "--label", "b", "--json"], obj=tiny).output)
    assert {hit["labels"]["label"][0] for hit in found} == {"b"}


def test_a_fact_that_one_of_the_libraries_has_is_a_condition(several, tiny, tmp_path):
    with Library(several[1]) as opened, opened.writing() as writer:
        for item in opened.items():
            writer.outcomes.set_file_facts(item.id, {"site": "north"})
    wanted = {each.item.path for each in list_items(several[1], where=Filter(modality="image"))} - {"copy.png"}
    for libraries in (several, several[::-1]):
        words = [tmp_path / "query.png", *(word for each in libraries for word in ("-l", each)), "-k", "20", "--json"]
        done = CliRunner().invoke(command, [str(word) for word in (*words, "--fact", "site=north")], obj=tiny)
        found = json.loads(done.stdout)
        assert {hit["path"] for hit in found} >= wanted and {hit["library"] for hit in found} == {str(several[1])}
        where = Filter(facts=("site=south",))
        assert search(tmp_path / "query.png", libraries, host=tiny, where=where) == []
        with pytest.raises(SightsoundError, match="fact 'sitee': expected one that .*; did you mean 'site'"):
            search(tmp_path / "query.png", libraries, host=tiny, where=Filter(facts=("sitee=north",)))


def test_a_fact_that_one_of_the_libraries_has_is_a_condition_on_tags(warm, tiny, tmp_path):
    for i, name in enumerate("ab"):
        write_shade(tmp_path / name / f"{name}.png", 0, i)
        index(tmp_path / name, tmp_path / f"lib-{name}", models=[warm], host=tiny)
    libraries = [tmp_path / "lib-a", tmp_path / "lib-b"]
    with Library(libraries[0]) as opened, opened.writing() as writer:
        for item in opened.items():
            writer.outcomes.set_file_facts(item.id, {"site": "north"})
    hits = search_tags("red", libraries, host=tiny, where=Filter(facts=("site=north",)))
    assert [(hit.item.path, hit.library) for hit in hits] == [("a.png", str(libraries[0]))]
    assert len(search_tags("red", libraries, host=tiny)) == 2
    with pytest.raises(SightsoundError, match="fact 'sight': expected one that files have"):
        search_tags("red", libraries, host=tiny, where=Filter(facts=("sight=north",)))
