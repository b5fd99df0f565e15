"""Scores in a library: kept by `index`, turned to segments and classes by any rules, gone with their files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

import made
from library_files import all_rows, raw_database
from made import RATE, loud_and_silent
from sightsound import (
    ClassList,
    Filter,
    Host,
    Library,
    SegmentRules,
    SightsoundError,
    index,
    search,
    search_tags,
    tag,
    tag_stored,
)
from sightsound.contract.errors import LibraryError, UnknownClass
from sightsound.library.check import check
from sightsound.library.maintenance import forget, forget_space
from sightsound.library.stats import stats
from words_host import words_host, write_zoo

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
    index(sounds, tmp_path / "lib", models=[MODEL], host=tiny)
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
    assert search_tags("loud", lib, min_score=0.9999) == [] and len(search_tags("loud", lib, k=1)) == 1
    assert places(search_tags("loud", lib, where=Filter(paths=("b*",)))) == [("b.wav", "loud", (0.5, 5.0))]
    assert search_tags("loud", lib, where=Filter(modality="image")) == []


def test_a_search_by_example_can_be_restricted_to_a_tag(lib, sounds, tiny, tmp_path):
    soundfile.write(sounds / "silent.wav", loud_and_silent(0, 2), RATE, "FLOAT")
    index(sounds, lib, models=[MODEL], host=tiny)
    assert len(search(sounds / "a.wav", lib, host=tiny)) == 2
    found = search(sounds / "a.wav", lib, host=tiny, where=Filter(tags=(frozenset(["loud"]),)))
    assert [hit.item.path for hit in found] == ["b.wav"] and found[0].tag == ""


def test_a_second_run_has_nothing_to_do(lib, sounds, tiny):
    assert index(sounds, lib, models=[MODEL], host=tiny).counts == {"unchanged": 3}
    assert index(sounds, lib, models=[MODEL], host=tiny).counts == {"unchanged": 3}


def rows_of(library):
    return {key: rows.tolist() for key, (rows, _) in all_rows(library).items()}


def test_files_that_have_vectors_get_scores_when_asked_and_keep_their_vectors(sounds, tiny, tmp_path):
    index(sounds, tmp_path / "lib", models=[MODEL], host=tiny, scores=False)
    with Library(tmp_path / "lib") as library:
        before = rows_of(library)
        with pytest.raises(LibraryError, match="lib keeps no scores of classes; run `sightsound index --scores` on it"):
            search_tags("loud", library)
        with pytest.raises(LibraryError, match="lib keeps no scores of these; run `sightsound index --scores` on it"):
            list(tag_stored(library, host=tiny))
        assert index(sounds, library, models=[MODEL], host=tiny).counts == {"unchanged": 3}
        report = index(sounds, library, models=[MODEL], host=tiny, scores=True)
        assert report.counts == {"ok": 2, "unchanged": 1} or report.counts == {"ok": 3}
        assert rows_of(library) == before and check(library) == []
        assert len(search_tags("loud", library)) == 3
        assert index(sounds, library, models=[MODEL], host=tiny, scores=True).counts == {"unchanged": 3}


def test_a_run_without_scores_keeps_those_that_are_there(lib, sounds, tiny):
    soundfile.write(sounds / "c.wav", loud_and_silent(3), RATE, "FLOAT")
    assert index(sounds, lib, models=[MODEL], host=tiny, scores=False).counts == {"ok": 1, "unchanged": 3}
    assert {hit.item.path for hit in search_tags("loud", lib)} == {"a.wav", "b.wav", "copy of a.wav"}
    assert check(lib) == []


@pytest.mark.parametrize(
    "rules",
    [
        SegmentRules(),
        SegmentRules(threshold=0.1),
        SegmentRules(threshold=0.9, min_duration=0),
        SegmentRules(include=("quiet",), min_separation=2),
        SegmentRules(exclude=("quiet",), specificity="none"),
    ],
    ids=str,
)
def test_other_rules_need_no_second_pass(lib, sounds, tiny, rules, monkeypatch):
    """A library and its files give the same segments and classes, whatever the rules."""
    expected = {found.item.path: found for found in tag(sounds, models=MODEL, rules=rules, host=tiny)}
    monkeypatch.setattr(Host, "load", None)
    found = list(tag_stored(lib, rules=rules, host=tiny))
    assert len(found) == len(expected) == 3
    for each in found:
        other = expected[each.item.path]
        assert (each.segments, each.top, each.model) == (other.segments, other.top, other.model)
        assert each.outcome.seconds == pytest.approx(other.outcome.seconds)


def test_stored_tags_of_some_items_and_models(lib, tiny):
    found = list(tag_stored(lib, where=Filter(paths=("b*",)), host=tiny))
    assert [each.item.path for each in found] == ["b.wav"] and found[0].item.id
    with pytest.raises(UnknownClass, match="has no class 'nonsuch'"):
        list(tag_stored(lib, rules=SegmentRules(include=("nonsuch",)), host=tiny))


def test_scores_come_back_to_float16(lib, sounds, tiny):
    from sightsound import media

    (space,) = lib.spaces
    kept = {each.outcomes[0].item.path: each for each in lib.scores_in(space)}
    spans, _, scores = tiny.load(MODEL).rows(media.read_sound(sounds / "b.wav", RATE))
    np.testing.assert_array_equal(kept["b.wav"].scores, scores.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(kept["b.wav"].spans, spans)
    assert kept["b.wav"].classes.labels == tiny.card(MODEL).labels
    assert [len(each.outcomes) for each in kept.values()] == [2, 1]


def test_of_a_softmax_over_many_classes_the_best_twenty_are_kept(zoo, tiny, tmp_path):
    import dataclasses

    labels = tuple(f"class {number}" for number in range(300))

    def embed(inner, inputs):
        random = np.random.default_rng(int(inputs.sum() * 1000) % 2**32)
        scores = random.dirichlet(np.full(300, 0.05), len(inputs)).astype(np.float32)
        return dataclasses.replace(inner.embed(inputs), scores=scores)

    facts = {"classes": ClassList("many", labels), "scores": "softmax"}
    name = made.register_variant(tiny, "many.tiny", facts=facts, embed=embed, batch_size=1)
    index(zoo, tmp_path / "lib", models=[name], host=tiny)
    expected = {found.item.path: found for found in tag(zoo, models=[name, MODEL], k=20, host=tiny)}
    with Library(tmp_path / "lib") as library:
        (space,) = library.spaces
        for kept in library.scores_in(space):
            assert (kept.scores > 0).sum() <= 20 and kept.scores.shape == (1, 300)
        for found in tag_stored(library, k=10, host=tiny):
            other = expected[found.item.path]
            assert [p.score for p in found.top] == [p.score for p in other.top[:10]]
        of_images = [found for found in expected.values() if found.model == name]
        best = max(of_images, key=lambda found: found.top[0].score)
        (hit,) = search_tags(best.top[0].label, library, k=1)
        assert hit.item.path == best.item.path and hit.score == pytest.approx(best.top[0].score)
        assert check(library) == []


def test_tags_of_an_older_library_are_kept_until_its_files_are_indexed_again(lib, sounds, tiny):
    """As a migration leaves them: rows without scores, and the tags of an older version."""
    with raw_database(lib.path) as db:
        db.execute("DELETE FROM highest")
        db.execute("UPDATE segments SET scores = NULL, classes = NULL")
        db.execute("UPDATE runs SET score_checksum = 0")
        for content in (1, 2):
            db.execute("INSERT INTO tagged VALUES (?, 1, '{}')", (content,))
            columns = "content, space, label, class, start, stop, mean, peak"
            values = (content, "loud", 0.5 + content / 10)
            db.execute(f"INSERT INTO tags ({columns}) VALUES (?, 1, ?, '', 1, 2, ?, 1)", values)
    with Library(lib.path) as library:
        assert check(library) == []
        assert [(hit.item.path, hit.score, hit.seconds) for hit in search_tags("loud", library)] == [
            ("b.wav", 0.7, (1, 2)),
            ("a.wav", 0.6, (1, 2)),
            ("copy of a.wav", 0.6, (1, 2)),
        ]
        assert index(sounds, library, models=[MODEL], host=tiny).counts == {"unchanged": 3}
        assert index(sounds / "b.wav", library, models=[MODEL], host=tiny, scores=True).counts == {"ok": 1}
        assert [hit.seconds for hit in search_tags("loud", library)][1:] == [(1, 2), (1, 2)]
        assert search_tags("loud", library)[0].seconds == (0.5, 5.0)
        assert check(library) == []


def test_a_recording_shorter_than_a_segment_has_its_classes(tiny, tmp_path):
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds" / "short.wav", loud_and_silent(0.4), RATE, "FLOAT")
    index(tmp_path / "sounds", tmp_path / "lib", models=[MODEL], host=tiny)
    (hit,) = search_tags("loud", tmp_path / "lib", host=tiny)
    assert hit.item.path == "short.wav" and hit.seconds == (0.0, 0.4)
    (found,) = tag(tmp_path / "sounds", models=MODEL, host=tiny)
    assert "loud" in [segment.label for segment in found.segments]


def test_lower_scores_are_found_when_asked_for(lib, tiny):
    usual = search_tags("loud", lib, k=100)
    more = search_tags("loud", lib, k=100, min_score=0.06)
    assert len(more) >= len(usual) and all(hit.score >= 0.06 for hit in more)
    kept = [hit.score for hit in search_tags(["loud", "quiet"], lib, k=3)]
    assert kept == [hit.score for hit in search_tags(["loud", "quiet"], lib, k=100)][:3]


def test_a_changed_file_has_only_its_new_tags(lib, sounds, tiny):
    soundfile.write(sounds / "b.wav", loud_and_silent(0, 3), RATE, "FLOAT")
    index(sounds, lib, models=[MODEL], host=tiny)
    assert "b.wav" not in {hit.item.path for hit in search_tags("loud", lib)} and check(lib) == []


def test_tags_are_deleted_with_the_last_file_of_their_content(lib, sounds):
    forget([sounds / "a.wav"], lib)
    assert {hit.item.path for hit in search_tags("loud", lib)} == {"b.wav", "copy of a.wav"}
    forget([sounds / "copy of a.wav"], lib)
    assert lib.rows("SELECT count(DISTINCT content) FROM highest") == [(1,)] and check(lib) == []


def test_tags_are_deleted_with_their_space(lib):
    forget_space(MODEL, lib)
    assert lib.tag_classes() == [] and lib.rows("SELECT count(*) FROM highest") == [(0,)] and check(lib) == []


def test_a_network_that_fails_on_the_second_time_leaves_vectors_and_is_reported(sounds, tiny, tmp_path):
    fail: list[bool] = []

    def embed(inner, inputs):
        if fail:
            raise ValueError("no luck")
        return inner.embed(inputs)

    name = made.register_variant(tiny, "moody.tiny", MODEL, embed=embed)
    index(sounds, tmp_path / "lib", models=[name], host=tiny, scores=False)
    fail.append(True)
    with Library(tmp_path / "lib") as library:
        before = rows_of(library)
        report = index(sounds, library, models=[name], host=tiny, scores=True)
        assert report.counts == {"failed": 3} and "no luck" in report.failed[0].reason
        assert check(library) == [] and {outcome.status for outcome, _ in library.outcomes()} == {"ok"}
        assert rows_of(library) == before
        fail.clear()
        assert index(sounds, library, models=[name], host=tiny, scores=True).counts["ok"] >= 2
        assert len(search_tags("loud", library)) == 3 and rows_of(library) == before


def test_classes_of_pictures_are_tags_without_seconds(zoo, tiny, warm, tmp_path):
    index(zoo, tmp_path / "lib", models=[warm], host=tiny)
    with Library(tmp_path / "lib") as library:
        hits = search_tags("red", library)
        assert len(hits) == 3 and {hit.seconds for hit in hits} == {None} and hits[0].tag == "red"
        assert search_tags("r", library) == hits, "by the id of the class"
        assert stats(library).tags.get("red", (0, 0))[0] == sum(hit.score >= 0.35 for hit in hits)


def test_two_classes_of_one_name_are_told_apart_by_their_ids(zoo, tiny, tmp_path):
    import dataclasses

    def embed(inner, inputs):
        means = inputs.mean(axis=(1, 2))
        scores = (means / means.sum(axis=1, keepdims=True)).astype("f4")
        return dataclasses.replace(inner.embed(inputs), scores=scores)

    facts = {"classes": ClassList("cranes", ("crane", "crane", "blue"), ("n1", "n2", "n3")), "scores": "softmax"}
    name = made.register_variant(tiny, "cranes.tiny", facts=facts, embed=embed)
    index(zoo, tmp_path / "lib", models=[name], host=tiny)
    with Library(tmp_path / "lib") as library:
        assert len(search_tags("n1", library)) == len(search_tags("n2", library)) == 3
        assert len(search_tags("crane", library)) == 6


def test_only_the_tags_of_some_models(lib, tiny):
    assert len(search_tags("loud", lib, models=[MODEL], host=tiny)) == 3
    assert search_tags("loud", lib, models=["colours.tiny"], host=tiny) == []
    with pytest.raises(SightsoundError, match="no embedder 'nonsuch'"):
        search_tags("loud", lib, models=["nonsuch"], host=tiny)


def test_an_unknown_tag_is_refused_with_the_nearest_one(lib):
    with pytest.raises(UnknownClass, match=r"lib has no tag 'loudd' among 2; did you mean 'loud'\?"):
        search_tags("loudd", lib)
    with pytest.raises(UnknownClass, match="no kind of sound|has no tag"):
        search_tags("subtree:xyzzyplugh", lib)


def test_a_class_of_the_ontology_that_no_item_has_finds_nothing(lib):
    assert search_tags("Siren", lib) == [] == search_tags("subtree:Animal", lib)


def test_the_same_from_the_command_line(command, sounds, tmp_path):
    where = ("-l", tmp_path / "zoo")
    done = command("index", sounds, *where, "-m", MODEL)
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
    words = ("index", sounds, "-l", where, "-m", MODEL)
    running = made.start_command(install("tiny"), *words, TINY_SECONDS="0.15")
    while running.poll() is None:
        try:
            with Library(where) as library:
                if library.rows("SELECT count(DISTINCT content) FROM highest")[0][0] >= 2:
                    break
        except LibraryError:
            continue
    running.kill()
    running.communicate()
    with Library(where) as library:
        assert check(library) == []
        before = library.rows("SELECT count(DISTINCT content) FROM highest")[0][0]
        assert 2 <= before < 12
    assert command(*words).returncode == 0
    with Library(where) as library:
        assert check(library) == [] and library.rows("SELECT count(DISTINCT content) FROM highest") == [(12,)]


def test_the_command_tags_a_library_by_other_rules(command, sounds, tmp_path):
    where = ("-l", tmp_path / "zoo")
    assert command("index", sounds, *where, "-m", MODEL).returncode == 0
    for rules in ((), ("--threshold", "0.9"), ("--include", "quiet", "--min-duration", "0")):
        stored = json.loads(command("tag", *where, *rules, "--json").stdout)
        files = json.loads(command("tag", sounds, "-m", MODEL, *rules, "--json").stdout)
        assert {each["path"]: each["segments"] for each in stored} == {each["path"]: each["segments"] for each in files}
    assert "3 tagged" in command("tag", *where).stdout
    for words in ((), (*where, sounds), (*where, "--hop", "0.5"), (*where, "--channels", "each")):
        assert command("tag", *words).returncode == 2


def test_a_search_that_finds_little_says_what_finds_more(command, sounds, tmp_path):
    where = ("-l", tmp_path / "zoo")
    assert command("index", sounds, *where, "-m", MODEL).returncode == 0
    done = command("search", "--tag", "loud", "--min-score", "0.99999", *where)
    assert done.stdout == "nothing found\n" and "more with a lower score: --min-score 0.05" in done.stderr
    more = command("search", "--tag", "loud", "--min-score", "0.05", "-k", "100", *where)
    assert more.stderr == "" and f"{len(more.stdout.splitlines()) - 1} more with" in done.stderr


# -- classes in words --------------------------------------------------------------------------------------------------


@pytest.fixture
def words(monkeypatch):
    return words_host(monkeypatch, "tiny")


@pytest.fixture
def worded(words, tmp_path):
    write_zoo(tmp_path / "zoo")
    index(
        tmp_path / "zoo", tmp_path / "lib", models=["colourwords.words", "soundwords.words", "colours.tiny"], host=words
    )
    return tmp_path / "lib"


def by_path(found):
    return {tags.item.path: tags for tags in found}


@pytest.mark.parametrize("templates", [(), ("{}",), ("{} paint", "a {} thing")])
def test_stored_vectors_give_the_classes_in_words_that_files_do(worded, words, tmp_path, templates):
    import sightsound_words

    classes, both = ["red", "blue", "loud", "quiet"], ["colourwords.words", "soundwords.words"]
    known = by_path(tag(tmp_path / "zoo", models=both, classes=classes, templates=templates, host=words))
    for file in (tmp_path / "zoo").iterdir():
        file.unlink()
    sightsound_words.texts_seen.clear()
    found = by_path(tag_stored(worded, classes=classes, templates=templates, k=9, host=words))
    assert found.keys() == known.keys() == {"red.png", "green.png", "blue.png", "loud.wav", "quiet.wav"}
    for path, tags in found.items():
        expected = {each.label: each.score for each in known[path].top}
        assert {each.label: each.score for each in tags.top} == pytest.approx(expected, abs=1e-5)
        assert tags.model == known[path].model and tags.outcome.seconds == known[path].outcome.seconds
        assert [(s.label, s.start, s.stop) for s in tags.segments] == [
            (s.label, s.start, s.stop) for s in known[path].segments
        ]
    assert {text for _, text in sightsound_words.texts_seen} >= {(templates or ("{}",))[0].replace("{}", "red")}


def test_classes_in_words_need_vectors_of_a_network_that_takes_words(words, worded, tmp_path):
    index(tmp_path / "zoo", tmp_path / "plain", models=["colours.tiny"], host=words)
    with pytest.raises(LibraryError, match=r"plain has no vectors of a network that takes words, only colours\.tiny"):
        list(tag_stored(tmp_path / "plain", classes=["red", "blue"], host=words))
    with pytest.raises(SightsoundError, match=r"colours\.tiny: takes no words"):
        list(tag_stored(worded, models="colours.tiny", classes=["red", "blue"], host=words))
    with pytest.raises(SightsoundError, match=r"templates: expected classes in words"):
        list(tag_stored(worded, templates=["a {}"], host=words))
