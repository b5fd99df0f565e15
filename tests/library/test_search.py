"""Queries of every kind, what they find, what they leave out, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from made import register_tints, register_variant, write_image, write_sound
from sightsound import Filter, Host, Library, SightsoundError, hookimpl, index, media, search
from sightsound.contract.errors import LibraryError, MediaError, SpaceMismatch, UnknownModel
from sightsound.library.check import check
from sightsound.library.maintenance import forget_space
from sightsound.library.query import split_part

MODELS = ("colours.tiny", "loudness.tiny")


@pytest.fixture
def zoo(tmp_path):
    """Six pictures, one of them twice, and five recordings of one to five seconds."""
    folder = tmp_path / "zoo"
    for i in range(6):
        write_image(folder / "cats" / f"{i}.png", i)
    (folder / "copy.png").write_bytes((folder / "cats" / "3.png").read_bytes())
    for i in range(5):
        write_sound(folder / "dogs" / f"{i}.wav", i, seconds=1 + i)
    return folder


@pytest.fixture
def library(tiny, zoo, tmp_path):
    (tmp_path / "table.csv").write_text("path,who,mood\ncats/1.png,Tom,calm\ncats/2.png,Tim,calm\ndogs/1.wav,calm,\n")
    index(zoo, tmp_path / "lib", models=MODELS, host=tiny, label_from=tmp_path / "table.csv")
    with Library(tmp_path / "lib") as found:
        yield found


def paths(hits):
    return [hit.item.path for hit in hits]


def rows(host, name, file, start=0.0, stop=None):
    """What the network makes of a file, by the shortest way: seconds, unit vectors float64."""
    model = host.load(name)
    if model.card.modality == "image":
        spans, embeddings, _ = model.rows(media.read_image(file).pixels)
    else:
        samples = media.read_sound(file, 1600)
        spans, embeddings, _ = model.rows(samples[round(start * 1600) : None if stop is None else round(stop * 1600)])
    embeddings = embeddings.astype(np.float64)
    return spans, embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def ranking(host, name, query, files):
    """(score, path, seconds, query seconds) of every file by brute force, best first; `query` as from `rows`."""
    found = []
    for path, file in files.items():
        spans, vectors = rows(host, name, file)
        cosines = query[1] @ vectors.T
        i, j = np.unravel_index(cosines.argmax(), cosines.shape)
        seconds = None if spans is None else tuple(spans[j])
        found.append((cosines[i, j], path, seconds, None if query[0] is None else tuple(query[0][i])))
    return sorted(found, key=lambda row: -row[0])


def dogs(zoo, *left_out):
    return {f"dogs/{i}.wav": zoo / "dogs" / f"{i}.wav" for i in range(5) if i not in left_out}


def cats(zoo, *left_out):
    return {f"cats/{i}.png": zoo / "cats" / f"{i}.png" for i in range(6) if i not in left_out}


def agree(hits, expected):
    assert paths(hits) == [path for _, path, _, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for score, *_ in expected], abs=1e-6)
    assert [hit.seconds for hit in hits] == [seconds for _, _, seconds, _ in expected]


# -- the kinds of query ------------------------------------------------------------------------------------------


def test_a_file_of_the_library_finds_the_others_by_their_best_pair_of_windows(library, zoo, tiny):
    hits = search(zoo / "dogs" / "3.wav", library, host=tiny)
    expected = ranking(tiny, "loudness.tiny", rows(tiny, "loudness.tiny", zoo / "dogs" / "3.wav"), dogs(zoo, 3))
    agree(hits, expected)
    assert [hit.query_seconds for hit in hits] == [query_seconds for *_, query_seconds in expected]
    assert {hit.spaces for hit in hits} == {("loudness.tiny",)}


def test_a_file_that_is_not_in_the_library_finds_similar_items(library, zoo, tiny, tmp_path):
    query = write_sound(tmp_path / "query.wav", 40, seconds=3.3)
    agree(
        search(query, library, host=tiny), ranking(tiny, "loudness.tiny", rows(tiny, "loudness.tiny", query), dogs(zoo))
    )
    assert len(list(library.items())) == 12, "a query is not added"


def test_items_with_the_content_of_the_query_are_left_out(library, zoo, tiny, tmp_path):
    query = tmp_path / "another name"
    query.write_bytes((zoo / "cats" / "3.png").read_bytes())
    assert set(paths(search(query, library, host=tiny))) == set(cats(zoo, 3))


def test_a_part_of_a_recording_is_decoded_and_framed_anew(library, zoo, tiny):
    hits = search(f"{zoo}/dogs/4.wav@1.2-3.4", library, host=tiny)
    expected = ranking(tiny, "loudness.tiny", rows(tiny, "loudness.tiny", zoo / "dogs/4.wav", 1.2, 3.4), dogs(zoo, 4))
    agree(hits, expected)
    for hit, (*_, seconds) in zip(hits, expected):
        assert hit.query_seconds == pytest.approx((seconds[0] + 1.2, seconds[1] + 1.2))


def test_a_path_that_exists_is_a_whole_file(library, zoo, tiny, tmp_path):
    name = write_sound(tmp_path / "dog.wav@1.0-2.5", 50, seconds=2)
    write_sound(tmp_path / "dog.wav", 51, seconds=4)
    expected = ranking(tiny, "loudness.tiny", rows(tiny, "loudness.tiny", name), dogs(zoo))
    agree(search(name, library, host=tiny), expected)
    assert split_part(name) == (name, 0.0, None)
    name.unlink()
    assert split_part(name) == (tmp_path / "dog.wav", 1.0, 2.5)


def test_a_part_of_a_file_with_a_newline_in_its_name(library, tiny, tmp_path):
    write_sound(tmp_path / "two\nlines.wav", 50, seconds=4)
    assert len(search(tmp_path / "two\nlines.wav@1-2", library, host=tiny)) == 5


def test_only_the_last_part_of_a_path_is_split_off(tmp_path):
    write_sound(tmp_path / "dog.wav@1-2")
    assert split_part(f"{tmp_path}/dog.wav@1-2@3-4.5") == (tmp_path / "dog.wav@1-2", 3.0, 4.5)


@pytest.mark.parametrize(
    ("part", "start", "stop"),
    [("90-100", 90, 100), ("1:30-1:40", 90, 100), ("59.5-1:00.25", 59.5, 60.25), ("1:02:03-1:02:04.5", 3723, 3724.5)],
)
def test_a_part_is_in_seconds_or_with_minutes_and_hours(tmp_path, part, start, stop):
    song = write_sound(tmp_path / "song.wav")
    assert split_part(f"{song}@{part}") == (song, start, stop)


def test_an_item_is_asked_for_by_its_id(library, zoo, tiny):
    ids = {item.path: item.id for item in library.items()}
    assert search(ids["dogs/3.wav"], library, host=tiny) == search(zoo / "dogs" / "3.wav", library, host=tiny)
    (zoo / "dogs" / "3.wav").unlink()
    assert len(search(np.int64(ids["dogs/3.wav"]), library, host=Host(installed=False))) == 4


def test_a_vector_is_compared_with_the_space_of_its_size(library, zoo, tiny):
    _, query = rows(tiny, "colours.tiny", zoo / "cats" / "2.png")
    hits = search(query[0] * 77, library, host=tiny, k=3)
    assert paths(hits)[0] == "cats/2.png" and hits[0].score == pytest.approx(1, abs=1e-6)
    assert paths(search(query, library, host=tiny, k=3)) == paths(hits)
    assert hits[0].query_seconds is None


def test_a_vector_that_fits_two_spaces_needs_a_model(library, zoo, tiny):
    other = register_variant(tiny, "other.tiny")
    index(zoo, library, models=[other], host=tiny)
    with pytest.raises(
        SightsoundError, match=r"fits 2 spaces of lib \(colours.tiny, other.tiny\); name one of these models"
    ):
        search(np.ones(48), library, host=tiny)
    assert len(search(np.ones(48), library, host=tiny, models=[other])) == 7


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (np.ones(5), r"a vector of 5 numbers fits 0 spaces of lib \(colours.tiny, loudness.tiny\)"),
        (np.full(48, np.nan), r"expected finite numbers \(dim,\) or \(n, dim\)"),
        (np.ones((2, 3, 48)), r"expected finite numbers \(dim,\) or \(n, dim\)"),
        (np.array(["one"] * 48), "query: expected finite numbers"),
    ],
)
def test_an_array_that_is_no_vector_is_refused(library, tiny, query, words):
    with pytest.raises(SightsoundError, match=words):
        search(query, library, host=tiny)


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("nowhere.wav", SightsoundError, "nowhere.wav: no such file"),
        ("nowhere.wav@1-2", SightsoundError, "nowhere.wav: no such file"),
        ("{zoo}/dogs/1.wav@2-2", SightsoundError, "expected @START-STOP with START before STOP"),
        ("{zoo}/dogs/1.wav@1:00-0:59", SightsoundError, "START before STOP.* or as 1:30.*, got 60 to 59 s"),
        ("{zoo}/dogs/1.wav@1:30", SightsoundError, "dogs/1.wav@1:30: expected @START-STOP .*, got @1:30"),
        ("{zoo}/dogs/1.wav@1m-2m", SightsoundError, "expected @START-STOP .*, got @1m-2m"),
        ("nowhere.wav@1:30", SightsoundError, r"no such file; a query is a file, words \(--text\), an id \(--id\)"),
        ("{zoo}/dogs/1.wav@7-9", MediaError, r"nothing to search by between 7 and 9 s \(it lasts 2 s\)"),
        ("{zoo}/cats/1.png@1-2", SightsoundError, "expected a recording before @1-2, got an image"),
        ("{zoo}/cats", MediaError, "a folder, expected a file"),
        ("{zoo}/text", MediaError, "neither an image nor a sound"),
        ("{zoo}/half.wav", MediaError, "half.wav: .*cannot read audio|half.wav: .*header"),
        (4711, LibraryError, "no item 4711 in lib"),
    ],
)
def test_an_invalid_query_is_refused(library, zoo, tiny, query, error, words):
    (zoo / "text").write_text("hello")
    (zoo / "half.wav").write_bytes((zoo / "dogs" / "1.wav").read_bytes()[:30])
    query = query.format(zoo=zoo) if isinstance(query, str) else query
    with pytest.raises(error, match=words):
        search(query, library, host=tiny)


def test_pictures_find_pictures_alone(library, zoo, tiny):
    assert set(paths(search(zoo / "cats" / "0.png", library, host=tiny, k=100))) == {*cats(zoo, 0), "copy.png"}
    with pytest.raises(SightsoundError, match="loudness.tiny: expected a model for images"):
        search(zoo / "cats" / "0.png", library, host=tiny, models=["loudness.tiny"])


def test_a_modality_that_the_query_cannot_find_is_refused(library, zoo, tiny):
    with pytest.raises(SightsoundError, match="modality image: expected sound, since the query is of sounds"):
        search(zoo / "dogs" / "0.wav", library, host=tiny, where=Filter(modality="image"))
    assert search(zoo / "dogs" / "0.wav", library, host=tiny, where=Filter(modality="sound"))


def test_a_sound_is_refused_by_a_library_without_sounds(tiny, zoo, tmp_path):
    index(zoo / "cats", tmp_path / "cats only", models=MODELS, host=tiny)
    with pytest.raises(SpaceMismatch, match="cats only has no sounds; index some"):
        search(zoo / "dogs" / "1.wav", tmp_path / "cats only", host=tiny)


# -- how many, how good, which -----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 4, 100])
def test_k_counts_items_and_not_windows(library, zoo, tiny, k):
    hits = search(zoo / "dogs" / "0.wav", library, host=tiny, k=k)
    assert len(hits) == min(k, 4) == len({hit.item.id for hit in hits})


def test_copies_are_items_of_their_own(library, zoo, tiny):
    _, query = rows(tiny, "colours.tiny", zoo / "cats" / "3.png")
    hits = search(query, library, host=tiny, k=2)
    assert paths(hits) == ["copy.png", "cats/3.png"] and hits[0].score == hits[1].score
    assert len(search(query, library, host=tiny, k=1)) == 1


def test_hits_below_the_least_score_are_left_out(library, zoo, tiny):
    every = search(zoo / "dogs" / "0.wav", library, host=tiny)
    bound = (every[1].score + every[2].score) / 2
    assert search(zoo / "dogs" / "0.wav", library, host=tiny, min_score=bound) == every[:2]
    assert search(zoo / "dogs" / "0.wav", library, host=tiny, min_score=1.1) == []


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(labels=("Tom",)), {"cats/1.png"}),
        (Filter(labels=("mood=calm",)), {"cats/1.png", "cats/2.png"}),
        (Filter(labels=("calm", "who=Tim")), {"cats/2.png"}),
        (Filter(labels=("who=calm",)), set()),
        (
            Filter(paths=("*/1.png", "*.png")),
            {"cats/1.png", "cats/2.png", "cats/3.png", "cats/4.png", "cats/5.png", "copy.png"},
        ),
        (Filter(paths=("cats/[12].png",)), {"cats/1.png", "cats/2.png"}),
        (Filter(paths=("CATS/*",)), set()),
        (
            Filter(facts=("width=24", "height<21")),
            {"cats/1.png", "cats/2.png", "cats/3.png", "cats/4.png", "cats/5.png", "copy.png"},
        ),
        (Filter(facts=("width>24",)), set()),
        (Filter(facts=("format=PNG",), paths=("copy*",)), {"copy.png"}),
        (Filter(facts=("battery<5",)), set()),
        (Filter(labels=("calm",), paths=("*2*",), facts=("width>1",)), {"cats/2.png"}),
    ],
)
def test_filters_restrict_which_items_are_found(library, zoo, tiny, where, expected):
    assert set(paths(search(zoo / "cats" / "0.png", library, host=tiny, where=where, k=100))) == expected


def test_sounds_are_filtered_by_their_facts(library, zoo, tiny):
    where = Filter(facts=("seconds>2.5", "sample_rate=1600", "channels<2"))
    assert set(paths(search(zoo / "dogs" / "0.wav", library, host=tiny, where=where))) == set(dogs(zoo, 0, 1))
    with pytest.raises(SightsoundError, match="filter 'loud': expected KEY=VALUE, KEY<NUMBER or KEY>NUMBER"):
        search(zoo / "dogs" / "0.wav", library, host=tiny, where=Filter(facts=("loud",)))
    with pytest.raises(SightsoundError, match="expected KEY=VALUE, KEY<NUMBER or KEY>NUMBER"):
        search(zoo / "dogs" / "0.wav", library, host=tiny, where=Filter(facts=("seconds>long",)))


def test_whole_seconds_are_equal_to_themselves(library, zoo, tiny):
    hits = search(zoo / "dogs" / "0.wav", library, host=tiny, where=Filter(facts=("seconds=2",)))
    assert paths(hits) == ["dogs/1.wav"]


def test_filtered_answers_are_as_deep_as_k(library, zoo, tiny):
    """The best of the filtered, not the filtered of the best."""
    worst = search(zoo / "cats" / "0.png", library, host=tiny, k=100)[-1]
    assert search(zoo / "cats" / "0.png", library, host=tiny, k=1, where=Filter(paths=(worst.item.path,))) == [worst]


def test_hits_carry_their_labels(library, zoo, tiny):
    hits = {hit.item.path: hit.labels for hit in search(zoo / "cats" / "0.png", library, host=tiny)}
    assert hits["cats/1.png"] == {"mood": ("calm",), "who": ("Tom",)} and hits["cats/3.png"] == {}


# -- several spaces ----------------------------------------------------------------------------------------------


def fused(*rankings):
    """Reciprocal ranks added up, by the book."""
    scores = {}
    for order in rankings:
        for rank, path in enumerate(order, 1):
            scores[path] = scores.get(path, 0) + 1 / (60 + rank)
    return scores


@pytest.fixture
def both(library, zoo, tiny):
    index(zoo, library, models=[register_tints(tiny)], host=tiny)
    return library


def test_ranks_over_two_spaces_are_fused(both, zoo, tiny):
    query = zoo / "cats" / "0.png"
    orders = []
    for name in ("colours.tiny", "tints.tiny"):
        order = [path for _, path, _, _ in ranking(tiny, name, rows(tiny, name, query), cats(zoo, 0))]
        order.insert(order.index("cats/3.png"), "copy.png")  # of equal scores the lower id comes first
        orders.append(order)
    expected = fused(*orders)
    hits = search(query, both, host=tiny)
    assert {hit.item.path: hit.score for hit in hits} == pytest.approx(expected)
    assert [hit.score for hit in hits] == sorted(expected.values(), reverse=True)
    assert {hit.spaces for hit in hits} == {("colours.tiny", "tints.tiny")}
    assert orders[0] != orders[1], "or else there would be nothing to fuse"
    assert search(query, both, host=tiny, k=2) == hits[:2]


def test_fused_answers_do_not_depend_on_the_order_of_the_models(both, zoo, tiny):
    query = zoo / "cats" / "0.png"
    one = search(query, both, host=tiny, models=["tints.tiny", "colours.tiny"])
    two = search(query, both, host=tiny, models=["colours.tiny", "tints.tiny"])
    assert [(hit.item.id, pytest.approx(hit.score)) for hit in one] == [(hit.item.id, hit.score) for hit in two]


def test_the_least_score_is_a_cosine_before_ranks_are_fused(both, zoo, tiny):
    query = zoo / "cats" / "0.png"
    orders = [
        [path for score, path, _, _ in ranking(tiny, name, rows(tiny, name, query), cats(zoo, 0)) if score >= 0.3]
        for name in ("colours.tiny", "tints.tiny")
    ]
    for order in orders:
        if "cats/3.png" in order:
            order.insert(order.index("cats/3.png"), "copy.png")
    hits = search(query, both, host=tiny, min_score=0.3)
    assert {hit.item.path: hit.score for hit in hits} == pytest.approx(fused(*orders))


def test_an_item_that_only_one_space_has_takes_part(both, zoo, tiny):
    write_image(zoo / "late.png", 30)
    index(zoo, both, models=["tints.tiny"], host=tiny)
    hits = {hit.item.path: hit for hit in search(zoo / "cats" / "0.png", both, host=tiny)}
    assert hits["late.png"].spaces == ("tints.tiny",) and hits["late.png"].score <= 1 / 61


def test_a_model_chooses_its_space(both, zoo, tiny):
    hits = search(zoo / "cats" / "0.png", both, host=tiny, models=["tints.tiny"])
    assert hits[0].score > 0.1 and hits[0].spaces == ("tints.tiny",)


# -- other spaces ------------------------------------------------------------------------------------------------


def host_with(tiny_plugin, **changes):
    """A host whose `colours.tiny` is not as it was."""
    import dataclasses

    card = dataclasses.replace(tiny_plugin.COLOURS, **changes)

    class Changed(tiny_plugin.Colours):
        pass

    Changed.card = card

    class Plugin:
        @hookimpl
        def register_embedders(self, register):
            register(card, lambda device, weights: Changed())

    host = Host(installed=False)
    host.register(Plugin(), "changed")
    return host


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"revision": 2}, ["revision: expected 1, got 2"]),
        (
            {"constants": {"grid": 5, "more": True}},
            [
                "constants.grid: expected 4, got 5",
                "constants.more: expected nothing, got true",
                "constants.size: expected 16, got nothing",
            ],
        ),
        (
            {"input_shape": (8, 8, 3), "dim": 12},
            [
                "dim: expected 48, got 12",
                "input_shape: expected [16, 16, 3], got [8, 8, 3]",
            ],
        ),
    ],
    ids=["revision", "constants", "shape"],
)
def test_another_space_is_refused_field_by_field(library, zoo, tiny, changes, fields):
    import sightsound_tiny

    host = host_with(sightsound_tiny, **changes)
    for models in ((), ("colours.tiny",)):
        with pytest.raises(SpaceMismatch) as caught:
            search(zoo / "cats" / "0.png", library, host=host, models=models)
        text = str(caught.value)
        assert "; ".join(fields) in text and text.count("expected") == len(fields), text
        assert text.endswith("or index anew after `sightsound forget --space colours.tiny`") and "\n" not in text
    with pytest.raises(SpaceMismatch, match="colours.tiny: another space; "):
        index(zoo / "cats", library, models=["colours.tiny"], host=host)


def test_a_space_can_be_indexed_again_after_it_was_forgotten(library, zoo, tiny):
    import sightsound_tiny

    host = host_with(sightsound_tiny, revision=2)
    assert forget_space("colours.tiny", library) == 6
    assert index(zoo, library, models=["colours.tiny"], host=host).counts == {"ok": 7, "no-model": 5}
    assert len(search(zoo / "cats" / "0.png", library, host=host)) == 6
    with pytest.raises(SpaceMismatch, match="revision: expected 2, got 1"):
        search(zoo / "cats" / "0.png", library, host=tiny)
    assert check(library) == []


def test_a_space_whose_plugin_is_missing_is_refused(library, zoo):
    with pytest.raises(UnknownModel, match="no installed plugin has the network 'colours.tiny'"):
        search(zoo / "cats" / "0.png", library, host=Host(installed=False))


def test_a_model_that_was_never_indexed_is_refused(library, zoo, tiny):
    name = register_tints(tiny)
    with pytest.raises(SpaceMismatch) as caught:
        search(zoo / "cats" / "0.png", library, host=tiny, models=[name])
    assert str(caught.value) == (
        "lib has no vectors in space 'tints.tiny'; it has 'colours.tiny' (6 vectors), 'loudness.tiny' (25 vectors); "
        "index with the model tints.tiny, or search with one of those"
    )


# -- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(command, library, zoo, tmp_path):
    return lambda *words, **options: command("search", *words, "-l", tmp_path / "lib", **options)


def test_the_command_shows_scores_seconds_and_ids(ask, library, zoo, tiny):
    done = ask(f"{zoo}/dogs/4.wav@1.2-3.4", "-k", "2")
    assert (done.returncode, done.stderr) == (0, "")
    header, first, _ = done.stdout.splitlines()
    assert header.split() == ["score", "seconds", "id", "path"]
    hit = search(f"{zoo}/dogs/4.wav@1.2-3.4", library, host=tiny, k=1)[0]
    assert first.split() == [
        f"{hit.score:.4f}",
        f"{hit.seconds[0]:.2f}-{hit.seconds[1]:.2f}",
        str(hit.item.id),
        str(hit.item.file),
    ]


def test_the_command_shows_that_scores_are_combined_ranks(ask, both):
    ((id_,),) = both.rows("SELECT id FROM items WHERE path = ?", b"cats/0.png")
    assert ask("--id", str(id_)).stdout.split()[0] == "ranks"
    assert ask("--id", str(id_), "-m", "colours.tiny").stdout.split()[0] == "score"


def test_the_command_finds_the_same_as_the_function(ask, library, zoo, tiny, tmp_path):
    ((id_,),) = library.rows("SELECT id FROM items WHERE path = ?", b"cats/0.png")
    hits = search(id_, library, host=tiny, where=Filter(("mood=calm",), ("cats/*",), ("width=24",)), min_score=0.1)
    np.save(tmp_path / "query.npy", library.vectors(tiny.space("colours.tiny"), library.content(id_))[0])
    narrow = ("--label", "mood=calm", "--path", "cats/*", "--fact", "width=24", "--min-score", "0.1", "--json")
    for query in (("--id", str(id_)), (zoo / "cats" / "0.png",), ("--vector", tmp_path / "query.npy")):
        found = json.loads(ask(*query, *narrow).stdout)
        assert [hit["path"] for hit in found] == paths(hits)
        assert [hit["score"] for hit in found] == pytest.approx([hit.score for hit in hits], abs=1e-6)


def test_the_command_prints_errors_in_one_line(ask, zoo, tmp_path):
    np.savez(tmp_path / "several.npz", embeddings=np.ones((2, 48)))
    np.save(tmp_path / "words.npy", np.array(["one", "two"]))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    for words in (
        ("--vector", tmp_path / "several.npz"),
        ("--vector", tmp_path / "words.npy"),
        ("--vector", tmp_path / "objects.npy"),
        ("--vector", tmp_path / "nowhere.npy"),
        ("--id", "999"),
        (zoo / "cats",),
    ):
        done = ask(*words)
        assert done.returncode == 2, (words, done.stderr)
        assert done.stderr.startswith("sightsound: ") and len(done.stderr.splitlines()) == 1


def test_exactly_one_kind_of_query_is_taken(ask, zoo):
    assert ask().returncode == ask("--id", "1", zoo / "cats" / "1.png").returncode == 2


def test_finding_nothing_is_no_error(ask, zoo):
    done = ask(zoo / "cats" / "0.png", "--min-score", "1.5")
    assert (done.returncode, done.stdout) == (0, "nothing found\n")


# -- several queries, windows and copies -----------------------------------------------------------------------------


def test_several_queries_are_compared_together_as_each_alone(library, zoo, tiny):
    queries = [zoo / "cats" / "1.png", 9, np.ones(48), zoo / "dogs" / "2.wav", zoo / "cats" / "3.png"]
    together = search(queries, library, host=tiny, k=3)
    alone = [search(query, library, host=tiny, k=3) for query in queries]
    assert [paths(hits) for hits in together] == [paths(hits) for hits in alone]
    for mine, other in zip(together, alone):
        assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in other], abs=1e-6)
        assert [(hit.seconds, hit.query_seconds, hit.labels) for hit in mine] == [
            (hit.seconds, hit.query_seconds, hit.labels) for hit in other
        ]
    assert search([], library, host=tiny) == []


def test_per_window_gives_the_best_parts_merged_where_they_touch(library, zoo, tiny):
    query = zoo / "dogs" / "1.wav"
    spans, vectors = rows(tiny, "loudness.tiny", zoo / "dogs" / "4.wav")
    cosines = (rows(tiny, "loudness.tiny", query)[1] @ vectors.T).max(axis=0)
    everything = search(query, library, host=tiny, k=100, per="window")
    assert len({hit.item.path for hit in everything}) == 4
    whole = [hit for hit in everything if hit.item.path == "dogs/4.wav"]
    assert [hit.seconds for hit in whole] == [(spans[0, 0], spans[-1, 1])], "all of its windows touch"
    assert whole[0].score == pytest.approx(cosines.max(), abs=1e-6)
    lowest = np.sort(cosines)[-3] - 1e-5
    found = search(query, library, host=tiny, k=100, per="window", min_score=lowest)
    covered = [hit.seconds for hit in found if hit.item.path == "dogs/4.wav"]
    good = spans[cosines >= lowest].tolist()
    assert all(any(a <= start and stop <= b for a, b in covered) for start, stop in good)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_windows_of_several_networks_are_refused(both, zoo, tiny):
    with pytest.raises(SightsoundError, match="windows of several networks cannot be ranked together; name one model"):
        search(zoo / "cats" / "0.png", both, host=tiny, per="window")
    assert search(zoo / "cats" / "0.png", both, host=tiny, per="window", models=["colours.tiny"])
    with pytest.raises(SightsoundError, match="per: expected one of item, window, got 'items'"):
        search(zoo / "cats" / "0.png", both, host=tiny, per="items")


def test_copies_of_the_query_are_shown_when_asked_for(library, zoo, tiny):
    query = zoo / "cats" / "3.png"
    assert not {"cats/3.png", "copy.png"} & set(paths(search(query, library, host=tiny)))
    found = search(query, library, host=tiny, copies=True)
    assert sorted(paths(found[:2])) == ["cats/3.png", "copy.png"]
    assert [hit.score for hit in found[:2]] == pytest.approx([1, 1])
    assert paths(found[2:]) == paths(search(query, library, host=tiny, k=8))


def test_the_command_takes_several_queries(ask, zoo, tmp_path):
    files = zoo / "cats" / "0.png", zoo / "dogs" / "0.wav"
    printed = ask(*files, "-k", "2").stdout.splitlines()
    assert [line for line in printed if line.endswith(":")] == [f"{file}:" for file in files]
    alone = [ask(file, "-k", "2").stdout.splitlines() for file in files]
    assert printed == [f"{files[0]}:", *alone[0], f"{files[1]}:", *alone[1]]
    found = json.loads(ask(*files, "--json").stdout)
    assert [each["query"] for each in found] == [str(file) for file in files]
    assert [each["hits"] for each in found] == [json.loads(ask(file, "--json").stdout) for file in files]
    np.save(tmp_path / "rows.npy", np.eye(48, dtype=np.float32)[:3])
    each = json.loads(ask("--vector", tmp_path / "rows.npy", "--each", "--json", "-k", "1").stdout)
    assert [hits["query"] for hits in each] == [f"{tmp_path / 'rows.npy'}, row {number}" for number in range(3)]
    together = json.loads(ask("--vector", tmp_path / "rows.npy", "--json").stdout)
    assert together[0]["score"] == max(hits["hits"][0]["score"] for hits in each)


def test_the_command_shows_windows_and_copies(ask, zoo):
    found = json.loads(ask(zoo / "dogs" / "4.wav", "--per", "window", "--copies", "--json").stdout)
    assert found[0]["path"] == "dogs/4.wav" and found[0]["score"] == pytest.approx(1)
    refused = ask(zoo / "dogs" / "4.wav", "--each")
    assert refused.returncode == 2 and "--each: expected --vector, whose rows are the queries" in refused.stderr
