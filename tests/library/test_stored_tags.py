"""Tags in a library: stored with `index`, found with `search`, gone with their files."""

from __future__ import annotations

import json

import pytest
import soundfile

import made
from made import RATE, loud_and_silent
from sightsound import ClassList, Filter, Library, SegmentRules, SightsoundError, index, search, search_tags
from sightsound.contract.errors import LibraryError, UnknownClass
from sightsound.library.check import check
from sightsound.library.maintenance import forget, forget_space
from sightsound.library.stats import stats

MODEL = "loudness.tiny"


@pytest.fixture
def sounds(tmp_path):
    there = tmp_path / "sounds"
    there.mkdir()
    soundfile.write(there / "a.wav", loud_and_silent(2, 3), RATE, "FLOAT")
    soundfile.write(there / "b.wav", loud_and_silent(0, 1, 4), RATE, "FLOAT")
    (there / "copy of a.wav").write_bytes((there / "a.wav").read_bytes())
    return there


@pytest.fixture
def lib(sounds, tiny, tmp_path):
    index(sounds, tmp_path / "lib", models=[MODEL], host=tiny, tags=True)
    with Library(tmp_path / "lib") as library:
        yield library


def places(hits):
    return [(hit.item.path, hit.tag, hit.seconds) for hit in hits]


def test_segments_are_found_by_their_class_with_seconds(lib):
    hits = search_tags("loud", lib)
    assert sorted(places(hits)) == [
        ("a.wav", "loud", (0.0, 2.5)),
        ("b.wav", "loud", (0.5, 5.0)),
        ("copy of a.wav", "loud", (0.0, 2.5)),
    ]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert hits[0].spaces == (MODEL,)


def test_stored_segments_are_those_of_classify_sound(lib, sounds, tiny):
    from sightsound import classify_sound

    heard = classify_sound(sounds / "b.wav", model=MODEL, host=tiny).segments
    stored = search_tags(["loud", "quiet"], lib, where=Filter(paths=("b*",)))
    found = sorted((hit.tag, *hit.seconds, hit.score) for hit in stored)
    assert found == sorted((s.label, s.start, s.stop, s.mean) for s in heard)


def test_names_in_any_case_the_least_score_and_filters(lib):
    assert len(search_tags("LOUD", lib)) == 3
    assert search_tags("loud", lib, min_score=0.99) == [] and len(search_tags("loud", lib, k=1)) == 1
    assert places(search_tags("loud", lib, where=Filter(paths=("b*",)))) == [("b.wav", "loud", (0.5, 5.0))]
    assert search_tags("loud", lib, where=Filter(modality="image")) == []


def test_a_search_by_example_can_be_restricted_to_a_tag(lib, sounds, tiny, tmp_path):
    soundfile.write(sounds / "silent.wav", loud_and_silent(0, 2), RATE, "FLOAT")
    index(sounds, lib, models=[MODEL], host=tiny, tags=True)
    assert len(search(sounds / "a.wav", lib, host=tiny)) == 2
    found = search(sounds / "a.wav", lib, host=tiny, where=Filter(tags=(frozenset(["loud"]),)))
    assert [hit.item.path for hit in found] == ["b.wav"] and found[0].tag == ""


def test_a_second_run_has_nothing_to_do(lib, sounds, tiny):
    assert index(sounds, lib, models=[MODEL], host=tiny, tags=True).counts == {"unchanged": 3}
    assert index(sounds, lib, models=[MODEL], host=tiny).counts == {"unchanged": 3}


def test_files_that_have_vectors_get_tags_and_keep_their_vectors(sounds, tiny, tmp_path):
    index(sounds, tmp_path / "lib", models=[MODEL], host=tiny)
    with Library(tmp_path / "lib") as library:
        (count,) = library.spaces.values()
        with pytest.raises(LibraryError, match="lib has no tags; run `sightsound index --tags` on it"):
            search_tags("loud", library)
        report = index(sounds, library, models=[MODEL], host=tiny, tags=True)
        assert report.counts == {"tagged": 2, "unchanged": 1} or report.counts == {"tagged": 3}
        assert report.windows == 0 and list(library.spaces.values()) == [count]
        assert len(search_tags("loud", library)) == 3 and check(library) == []


def test_other_rules_give_other_tags(lib, sounds, tiny):
    report = index(sounds, lib, models=[MODEL], host=tiny, tags=SegmentRules(include=("quiet",)))
    assert report.windows == 0 and report.counts["tagged"] >= 2
    assert lib.tag_classes() == [("quiet", "")] and check(lib) == []


def test_a_changed_file_has_only_its_new_tags(lib, sounds, tiny):
    soundfile.write(sounds / "b.wav", loud_and_silent(0, 3), RATE, "FLOAT")
    index(sounds, lib, models=[MODEL], host=tiny, tags=True)
    assert "b.wav" not in {hit.item.path for hit in search_tags("loud", lib)} and check(lib) == []


def test_tags_are_deleted_with_the_last_file_of_their_content(lib, sounds):
    forget([sounds / "a.wav"], lib)
    assert {hit.item.path for hit in search_tags("loud", lib)} == {"b.wav", "copy of a.wav"}
    forget([sounds / "copy of a.wav"], lib)
    assert lib.rows("SELECT count(*) FROM tagged") == [(1,)] and check(lib) == []


def test_tags_are_deleted_with_their_space(lib):
    forget_space(MODEL, lib)
    assert lib.tag_classes() == [] and lib.rows("SELECT count(*) FROM tagged") == [(0,)] and check(lib) == []


def test_a_network_that_fails_on_the_second_time_leaves_vectors_and_is_reported(sounds, tiny, tmp_path):
    fail: list[bool] = []

    def embed(inner, inputs):
        if fail:
            raise ValueError("no luck")
        return inner.embed(inputs)

    name = made.register_variant(tiny, "moody.tiny", MODEL, embed=embed)
    index(sounds, tmp_path / "lib", models=[name], host=tiny)
    fail.append(True)
    with Library(tmp_path / "lib") as library:
        report = index(sounds, library, models=[name], host=tiny, tags=True)
        assert report.counts == {"failed": 3} and "no luck" in report.failed[0].reason
        assert check(library) == [] and {outcome.status for outcome, _ in library.outcomes()} == {"ok"}
        fail.clear()
        assert index(sounds, library, models=[name], host=tiny, tags=True).counts["tagged"] >= 2
        assert len(search_tags("loud", library)) == 3


def test_a_new_copy_of_a_content_without_tags_is_recorded_and_tagged(sounds, tiny, tmp_path):
    index(sounds / "a.wav", tmp_path / "lib", models=[MODEL], host=tiny)
    with Library(tmp_path / "lib") as library:
        index(sounds / "copy of a.wav", library, models=[MODEL], host=tiny, tags=True)
        assert {hit.item.path for hit in search_tags("loud", library)} == {"a.wav", "copy of a.wav"}
        assert check(library) == [] and len(library.outcomes()) == 2


def test_classes_of_pictures_are_tags_without_seconds(zoo, tiny, warm, tmp_path):
    index(zoo, tmp_path / "lib", models=[warm], host=tiny, tags=True)
    with Library(tmp_path / "lib") as library:
        hits = search_tags("red", library)
        assert len(hits) == 3 and {hit.seconds for hit in hits} == {None} and hits[0].tag == "red"
        assert search_tags("r", library) == hits, "by the id of the class"
        assert stats(library).tags["red"] == (3, 0.0)


def test_two_classes_of_one_name_are_told_apart_by_their_ids(zoo, tiny, tmp_path):
    import dataclasses

    def embed(inner, inputs):
        means = inputs.mean(axis=(1, 2))
        scores = (means / means.sum(axis=1, keepdims=True)).astype("f4")
        return dataclasses.replace(inner.embed(inputs), scores=scores)

    facts = {"classes": ClassList("cranes", ("crane", "crane", "blue"), ("n1", "n2", "n3")), "scores": "softmax"}
    name = made.register_variant(tiny, "cranes.tiny", facts=facts, embed=embed)
    index(zoo, tmp_path / "lib", models=[name], host=tiny, tags=True)
    with Library(tmp_path / "lib") as library:
        assert len(search_tags("n1", library)) == len(search_tags("n2", library)) == 3
        assert len(search_tags("crane", library)) == 6


def test_a_recording_without_segments_has_no_tags(sounds, tiny, tmp_path):
    report = index(
        sounds, tmp_path / "lib", models=[MODEL], host=tiny, tags=SegmentRules(threshold=1, include=("loud",))
    )
    with Library(tmp_path / "lib") as library:
        assert report.counts["ok"] == 3 and library.tag_classes() == [] == search_tags("Siren", library)
        assert index(
            sounds, library, models=[MODEL], host=tiny, tags=SegmentRules(threshold=1, include=("loud",))
        ).counts == {"unchanged": 3}


def test_other_rules_for_sounds_do_not_change_the_tags_of_pictures(zoo, tiny, warm, tmp_path):
    index(zoo, tmp_path / "lib", models=[warm, MODEL], host=tiny, tags=True)
    report = index(zoo, tmp_path / "lib", models=[warm, MODEL], host=tiny, tags=SegmentRules(threshold=0.2))
    assert report.counts == {"unchanged": 3, "tagged": 2}


def test_only_the_tags_of_some_models(lib, tiny):
    assert len(search_tags("loud", lib, models=[MODEL], host=tiny)) == 3
    assert search_tags("loud", lib, models=["colours.tiny"], host=tiny) == []
    with pytest.raises(SightsoundError, match="no embedder 'nonsuch'"):
        search_tags("loud", lib, models=["nonsuch"], host=tiny)


def test_models_without_classes_have_no_tags(zoo, tiny, tmp_path):
    with pytest.raises(SightsoundError, match="colours.tiny: no classes to tag with; name a model that has some"):
        index(zoo, tmp_path / "lib", models=["colours.tiny"], host=tiny, tags=True)
    assert not (tmp_path / "lib").exists()
    report = index(zoo, tmp_path / "lib", models=["colours.tiny", MODEL], host=tiny, tags=True)
    assert report.counts == {"ok": 5}


def test_an_unknown_tag_is_refused_with_the_nearest_one(lib):
    with pytest.raises(UnknownClass, match=r"lib has no tag 'loudd' among 2; did you mean 'loud'\?"):
        search_tags("loudd", lib)
    with pytest.raises(UnknownClass, match="no kind of sound|has no tag"):
        search_tags("subtree:xyzzyplugh", lib)


def test_a_class_of_the_ontology_that_no_item_has_finds_nothing(lib):
    assert search_tags("Siren", lib) == [] == search_tags("subtree:Animal", lib)


def test_the_same_from_the_command_line(command, sounds, tmp_path):
    where = ("-l", tmp_path / "zoo")
    done = command("index", sounds, *where, "-m", MODEL, "--tags")
    assert done.returncode == 0, done.stderr
    shown = command("search", "--tag", "loud", *where).stdout.splitlines()
    assert shown[0].split() == ["score", "seconds", "tag", "id", "path"] and len(shown) == 4
    assert {line.split()[1] for line in shown[1:]} == {"0.50-5.00", "0.00-2.50"}
    hits = json.loads(command("search", "--tag", "loud", "--min-score", "0.8", *where, "--json").stdout)
    assert {hit["path"]: hit["tag"] for hit in hits} == {"b.wav": "loud"} and hits[0]["seconds"] == [0.5, 5.0]
    assert "b.wav" in command("search", sounds / "a.wav", "--tag", "loud", *where).stdout
    assert command("search", "--tag", "lowd", *where).returncode == 2
    assert "loud" in command("stats", *where).stdout
    assert command("check", *where).returncode == 0


def test_a_run_that_is_killed_leaves_tags_for_whole_contents(install, command, tmp_path):
    sounds, where = tmp_path / "sounds", tmp_path / "zoo"
    for i in range(12):
        made.write_sound(sounds / f"{i}.wav", i, seconds=4)
    words = ("index", sounds, "-l", where, "-m", MODEL, "--tags")
    running = made.start_command(install("tiny"), *words, TINY_SECONDS="0.15")
    while running.poll() is None:
        try:
            with Library(where) as library:
                if library.rows("SELECT count(*) FROM tagged")[0][0] >= 2:
                    break
        except LibraryError:
            continue
    running.kill()
    running.communicate()
    with Library(where) as library:
        assert check(library) == []
        before = library.rows("SELECT count(*) FROM tagged")[0][0]
        assert 2 <= before < 12
    assert command(*words).returncode == 0
    with Library(where) as library:
        assert check(library) == [] and library.rows("SELECT count(*) FROM tagged") == [(12,)]
