"""Rows that were made elsewhere become a space of their own; those that claim one of ours are verified first."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from library_files import all_rows, file_bytes
from made import write_image, write_sound
from sightsound import (
    Library,
    LibraryError,
    SightsoundError,
    SpaceMismatch,
    UnknownModel,
    check,
    embed,
    export_rows,
    fit_probe,
    import_rows,
    index,
    load_dataset,
    predict,
    predict_stored,
    save_embeddings,
    search,
    search_tags,
    stats,
    verify_rows,
)
from sightsound.cli.import_ import import_
from sightsound.contract.imported_space import origin_of

DIM = 6


def some_rows(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def write_npz(file, paths, rows, **more):
    np.savez(file, paths=np.array(paths), embeddings=rows, **{name: np.array(each) for name, each in more.items()})
    return file


def write_parquet(file, metadata=None, **columns):
    parquet = pytest.importorskip("pyarrow.parquet", reason="reads Parquet files")
    pyarrow = pytest.importorskip("pyarrow", reason="reads Parquet files")
    table = pyarrow.table(columns)
    parquet.write_table(table.replace_schema_metadata(metadata), file, row_group_size=3)
    return file


def fixed(rows):
    pyarrow = pytest.importorskip("pyarrow", reason="reads Parquet files")
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.ravel()), rows.shape[1])


def contents(where):
    """Everything that an import may change."""
    with Library(where) as library:
        rows = {key: (spans, found.round(4).tolist()) for key, (found, spans) in all_rows(library).items()}
        items = library.rows("SELECT i.path, i.size, hex(c.hash) FROM items i LEFT JOIN contents c ON c.id = i.content")
        outcomes = library.rows("SELECT item, space, status, seconds, facts FROM outcomes")
        return items, outcomes, list(library.all_labels()), repr(sorted(rows.items()))


def test_rows_of_an_npz_are_a_space_with_search_stats_and_check(tmp_path, zoo, tiny):
    rows = some_rows(3)
    paths = [f"zoo/cats/{i}.png" for i in range(3)]
    file = write_npz(tmp_path / "rows.npz", paths, rows)
    report = import_rows(file, tmp_path / "lib", space="mine", model="resnet", version="7", host=tiny)
    assert (report.items, report.rows, report.absent, report.left_out) == (3, 3, 0, [])
    with Library(tmp_path / "lib") as library:
        ((space, count),) = library.spaces.items()
        origin = origin_of(space)
        assert (space.name, space.dim, space.modality, count) == ("mine", DIM, "image", 3)
        assert origin is not None and origin.file == "rows.npz" and set(origin.columns) == {"paths", "embeddings"}
        assert (origin.model, origin.version) == ("resnet", "7")
        assert [item.path for item in library.items()] == paths
        assert library.content(1) == hashlib.sha256((zoo / "cats" / "0.png").read_bytes()).digest()
        hits = search(rows[1], library, host=tiny)
        cosines = rows @ rows[1] / np.linalg.norm(rows, axis=1) / np.linalg.norm(rows[1])
        assert [hit.item.path for hit in hits] == [paths[i] for i in np.argsort(-cosines)]
        assert [hit.score for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-6)
        assert search(2, library, models=["mine"], host=tiny)[0].item.path in paths
    assert stats(tmp_path / "lib").spaces["mine"][1:] == (DIM, 3)
    assert check(tmp_path / "lib") == []


def test_a_query_file_that_the_space_has_needs_no_model(tmp_path, zoo, tiny):
    import_rows(
        write_npz(tmp_path / "r.npz", ["zoo/cats/0.png", "zoo/cats/1.png"], some_rows(2)),
        tmp_path / "lib",
        space="mine",
    )
    (hit,) = search(zoo / "cats" / "0.png", tmp_path / "lib", host=tiny)
    assert hit.item.path == "zoo/cats/1.png"
    with pytest.raises(UnknownModel, match="rows were imported from r.npz; no plugin has this model"):
        search(zoo / "cats" / "2.png", tmp_path / "lib", host=tiny)
    with pytest.raises(UnknownModel, match="rows were imported from r.npz; no plugin has this model"):
        search(zoo / "cats" / "2.png", tmp_path / "lib", models=["mine"], host=tiny)
    with pytest.raises(UnknownModel, match="mine: rows were imported from r.npz; no plugin has this model"):
        index(zoo, tmp_path / "lib", models=["mine"], host=tiny)


def test_windows_of_sounds_have_seconds_in_every_form(tmp_path, tiny):
    write_sound(tmp_path / "a.wav", 0, seconds=2)
    seconds = np.array([[0.0, 1.0], [0.5, 1.5], [1.0, 2.0]])
    rows = some_rows(3)
    write_npz(tmp_path / "pairs.npz", ["a.wav"] * 3, rows, seconds=seconds)
    write_npz(tmp_path / "columns.npz", ["a.wav"] * 3, rows, start=seconds[:, 0], stop=seconds[:, 1])
    write_parquet(
        tmp_path / "c.parquet", path=["a.wav"] * 3, vector=fixed(rows), start=seconds[:, 0], end=seconds[:, 1]
    )
    write_parquet(tmp_path / "p.parquet", path=["a.wav"] * 3, embedding=rows.tolist(), seconds=seconds.tolist())
    for name in ("pairs.npz", "columns.npz", "c.parquet", "p.parquet"):
        import_rows(tmp_path / name, tmp_path / "lib", space=name)
    with Library(tmp_path / "lib") as library:
        for space in library.spaces:
            stored, spans = library.vectors(space, library.content(1))
            assert space.modality == "sound" and np.array_equal(spans, seconds)
            np.testing.assert_allclose(stored, rows, rtol=1e-6)
        assert search(rows[1], library, models=["c.parquet"], host=tiny)[0].seconds == (0.5, 1.5)
    assert check(tmp_path / "lib") == []


def test_the_same_import_again_changes_nothing(tmp_path, zoo, tiny):
    paths = ["zoo/cats/0.png", "zoo/cats/1.png", "gone/2.png"]
    file = write_npz(tmp_path / "rows.npz", paths, some_rows(3), species=["owl", "hawk", ""])
    import_rows(file, tmp_path / "lib", space="mine", labels=["species"])
    before = contents(tmp_path / "lib")
    with Library(tmp_path / "lib") as library:
        assert {item: library.labels(item) for item in (1, 2, 3)} == {
            1: {"species": ("owl",)},
            2: {"species": ("hawk",)},
            3: {},
        }
    report = import_rows(file, tmp_path / "lib", space="mine", labels=["species"])
    assert (report.items, report.rows, report.unchanged, report.absent) == (0, 0, 3, 1)
    assert contents(tmp_path / "lib") == before


def test_files_that_are_not_here_have_the_stated_hash_or_a_stand_in(tmp_path, tiny):
    stated = hashlib.sha256(b"x").hexdigest()
    file = write_npz(
        tmp_path / "r.npz", ["a.png", "b.png", "c.png"], some_rows(3), content=[stated, "", stated.upper()]
    )
    report = import_rows(file, tmp_path / "lib", space="mine")
    assert report.absent == report.items == 2
    assert "other rows" in report.left_out[0].reason  # c.png says that it is a.png
    with Library(tmp_path / "lib") as library:
        assert library.content(1).hex() == stated and library.content(2).hex() != stated
        facts = {outcome.item.path: outcome.facts["content"] for outcome, _ in library.outcomes()}
        assert facts == {"a.png": "stated", "b.png": "stand-in"}
    assert check(tmp_path / "lib") == []


def test_bad_rows_are_named_and_left_out(tmp_path, zoo, tiny):
    rows = some_rows(6)
    rows[1, 2] = np.nan
    lists = rows.tolist()
    lists[2], lists[3] = lists[2][:-1], None
    paths = ["zoo/cats/0.png", "zoo/cats/1.png", "zoo/cats/2.png", "d.png", None, "zoo/dogs/0.wav"]
    file = write_parquet(tmp_path / "r.parquet", path=paths, embedding=lists)
    report = import_rows(file, tmp_path / "lib", space="mine")
    reasons = {row.row: row.reason for row in report.left_out}
    assert report.items == 1 and sorted(reasons) == [1, 2, 3, 4, 5] and report.left_out_count == 5
    assert (
        "NaN" in reasons[1]
        and reasons[2] == "expected 6 numbers, got 5"
        and reasons[3] == "expected 6 numbers, got nothing"
    )
    assert reasons[4] == "it has no path" and reasons[5].startswith("is of sounds")
    ran = CliRunner().invoke(import_, [str(file), "-l", str(tmp_path / "two"), "--space", "mine"], obj=tiny)
    assert ran.exit_code == 1 and "row 2 (zoo/cats/2.png): expected 6 numbers, got 5" in ran.output
    assert check(tmp_path / "lib") == []


def test_seconds_that_cannot_be_are_left_out(tmp_path):
    seconds = [[0, 1], [2, 1], [-1, 0], [np.nan, 1], [1, 2]]
    report = import_rows(
        write_npz(tmp_path / "r.npz", ["a.wav"] * 5, some_rows(5), seconds=seconds), tmp_path / "lib", space="s"
    )
    assert [row.row for row in report.left_out] == [1, 2, 3] and report.rows == 2


def test_a_file_that_is_not_the_one_of_its_rows_is_left_out(tmp_path, zoo):
    stated = hashlib.sha256(b"another").hexdigest()
    file = write_npz(tmp_path / "r.npz", ["zoo/cats/0.png"], some_rows(1), content=[stated])
    (row,) = import_rows(file, tmp_path / "lib", space="mine").left_out
    assert "SHA-256 is another" in row.reason


def test_rows_that_changed_are_left_out_until_the_item_is_forgotten(tmp_path, zoo):
    paths = ["zoo/cats/0.png", "zoo/cats/1.png"]
    import_rows(write_npz(tmp_path / "r.npz", paths, some_rows(2)), tmp_path / "lib", space="mine")
    report = import_rows(write_npz(tmp_path / "r.npz", paths, some_rows(2, seed=1)), tmp_path / "lib", space="mine")
    assert report.left_out_count == 2 and "has other rows" in report.left_out[0].reason
    more = import_rows(
        write_npz(tmp_path / "more.npz", ["zoo/cats/2.png"], some_rows(1)), tmp_path / "lib", space="mine"
    )
    assert more.items == 1  # another file of the same kind adds to the space
    with Library(tmp_path / "lib") as library:
        assert list(library.spaces.values()) == [3]


def test_equal_files_whose_rows_differ_by_rounding_share_them(tmp_path, zoo):
    (tmp_path / "zoo" / "copy.png").write_bytes((zoo / "cats" / "0.png").read_bytes())
    rows = np.repeat(some_rows(1), 2, axis=0)
    rows[1] *= np.float32(1 + 1e-6)
    report = import_rows(
        write_npz(tmp_path / "r.npz", ["zoo/cats/0.png", "zoo/copy.png"], rows), tmp_path / "lib", space="m"
    )
    assert (report.items, report.rows, report.left_out) == (2, 1, [])
    assert check(tmp_path / "lib") == []


def test_odd_names_survive(tmp_path):
    names = ["a,b.png", 'quote".png', "new\nline.png", "=cmd().png", "-rf.png", "caf\udce9.png", "日本.png"]
    for seed, name in enumerate(names):
        write_image(tmp_path / name, seed)
    import_rows(write_npz(tmp_path / "r.npz", names, some_rows(len(names))), tmp_path / "lib", space="mine")
    file = write_parquet(
        tmp_path / "r.parquet", path=[os.fsencode(name) for name in names], vector=fixed(some_rows(len(names)))
    )
    report = import_rows(file, tmp_path / "lib", space="bytes")
    assert report.absent == 0 and report.items == len(names)
    with Library(tmp_path / "lib") as library:
        assert [item.path for item in library.items()] == names
    assert check(tmp_path / "lib") == []


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"paths": ["a"]}, "expected a column 'embedding'"),
        ({"embeddings": np.zeros((1, 2), np.float32)}, "expected a column 'path'"),
        ({"paths": ["a", "b"], "embeddings": np.zeros((1, 2), np.float32)}, r"paths: expected \(1,\), got \(2,\)"),
        ({"paths": ["a"], "embeddings": np.zeros(3, np.float32)}, r"expected rows \(n, dim\)"),
        ({"paths": np.array(["a"], object), "embeddings": np.zeros((1, 2))}, "objects, which are not loaded"),
        ({"paths": ["a", "b", "a"], "embeddings": np.zeros((3, 2))}, "those of 'a' in two places; sort the table"),
    ],
)
def test_a_file_that_lacks_something_is_refused_in_one_line(tmp_path, columns, text):
    np.savez(tmp_path / "r.npz", **columns)
    with pytest.raises(SightsoundError, match=text) as error:
        import_rows(tmp_path / "r.npz", tmp_path / "lib", space="mine")
    assert "\n" not in str(error.value) and not (tmp_path / "lib").exists()


@pytest.mark.parametrize("name", ["r.npz", "r.parquet"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name):
    if name == "r.npz":
        write_npz(tmp_path / name, ["a", "b", "c"], some_rows(3))
    else:
        write_parquet(tmp_path / name, path=["a", "b", "c"], embedding=fixed(some_rows(3)))
    whole = (tmp_path / name).read_bytes()
    for data in (b"", b"nothing", whole[: len(whole) // 2], whole[:40] + b"\xff" * 40 + whole[80:-200] + b"\0" * 200):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SightsoundError) as error:
            import_rows(tmp_path / name, tmp_path / "lib", space="mine")
        assert "\n" not in str(error.value) and name in str(error.value)


def test_names_of_spaces_that_are_taken_are_refused(tmp_path, where, tiny):
    file = write_npz(tmp_path / "r.npz", ["a.png"], some_rows(1))
    with pytest.raises(LibraryError, match="has vectors of a network in it"):
        import_rows(file, where, space="colours.tiny")
    with pytest.raises(LibraryError, match="is the name of an installed network"):
        import_rows(file, tmp_path / "new", space="colours.tiny", host=tiny)
    with pytest.raises(SightsoundError, match="--space NAME"):
        import_rows(file, where)
    with pytest.raises(SightsoundError, match=r"ends in .parquet or .npz"):
        import_rows(tmp_path / "rows.csv", where, space="mine")
    import_rows(file, where, space="mine")
    wider = write_npz(tmp_path / "w.npz", ["b.png"], np.ones((1, DIM + 1), np.float32))
    with pytest.raises(LibraryError, match="expected rows of dimension 6, as those from r.npz, got 7"):
        import_rows(wider, where, space="mine")


def test_a_probe_learns_on_imported_rows(tmp_path, zoo, tiny):
    paths = [f"x/{i}.png" for i in range(8)]
    file = write_npz(tmp_path / "r.npz", paths, some_rows(8), kind=["a", "b"] * 4)
    import_rows(file, tmp_path / "lib", space="mine", labels=["kind"])
    data = load_dataset(tmp_path / "lib", "mine")
    assert data.X.shape == (8, DIM) and set(data.y) == {"a", "b"}
    probe = fit_probe(data, curve=False)
    assert len(list(predict_stored(probe, tmp_path / "lib"))) == 8
    with pytest.raises(UnknownModel, match="rows were imported from r.npz"):
        list(predict(probe, zoo / "cats" / "0.png", host=tiny))


# -- rows that claim a space of ours --------------------------------------------------------------------------------


@pytest.fixture
def embedded(tmp_path, zoo, tiny):
    """A file of `embed --out` with the rows of three images."""
    save_embeddings(embed(zoo / "cats", "colours.tiny", host=tiny), tmp_path / "rows.npz")
    return tmp_path / "rows.npz"


def test_rows_of_embed_are_imported_until_they_are_verified(tmp_path, zoo, tiny, embedded):
    (space,) = import_rows(embedded, tmp_path / "lib").spaces
    assert space.name == "colours.tiny (imported)" and space.fingerprint != tiny.space("colours.tiny").fingerprint
    (found,) = verify_rows(tmp_path / "lib", host=tiny)
    assert (found.files, found.rows) == (3, 3) and found.farthest < 1e-6
    index(zoo / "cats", tmp_path / "indexed", models=["colours.tiny"], host=tiny)
    with Library(tmp_path / "lib") as library, Library(tmp_path / "indexed") as indexed:
        assert library.spaces == indexed.spaces == {tiny.space("colours.tiny"): 3}
        ours, theirs = all_rows(library), all_rows(indexed)
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_allclose(ours[key][0], theirs[key][0], rtol=1e-6, atol=1e-7)
    assert check(tmp_path / "lib") == []
    assert index(zoo / "cats", tmp_path / "lib", models=["colours.tiny"], host=tiny).counts == {"unchanged": 3}
    again = import_rows(embedded, tmp_path / "lib", host=tiny)
    assert (again.items, again.unchanged, again.rows) == (0, 3, 0)
    with Library(tmp_path / "lib") as library:
        assert list(library.spaces) == [tiny.space("colours.tiny")]


def test_verified_rows_join_those_that_the_library_has(tmp_path, zoo, tiny, embedded):
    import_rows(embedded, tmp_path / "lib")
    with Library(tmp_path / "lib") as library:
        write_image(zoo / "cats" / "9.png", 9)
        (zoo / "cats" / "copy.png").write_bytes((zoo / "cats" / "1.png").read_bytes())
        index(
            [zoo / "cats" / name for name in ("0.png", "9.png", "copy.png")],
            library,
            models=["colours.tiny"],
            host=tiny,
        )
        search(np.ones(48), library, models=["colours.tiny"], host=tiny)  # rows of both are mapped
        (found,) = verify_rows(library, host=tiny)
        assert found.rows == 1  # of 2.png: 0.png was indexed, and so was the copy of 1.png
        assert library.spaces == {tiny.space("colours.tiny"): 4}
        hits = search(np.ones(48), library, models=["colours.tiny"], host=tiny)
        assert sorted(hit.item.path for hit in hits) == ["0.png", "1.png", "2.png", "9.png", "copy.png"]
    assert check(tmp_path / "lib") == []


def test_rows_that_differ_from_those_of_the_network_stay_imported(tmp_path, tiny, embedded):
    with np.load(embedded) as arrays:
        changed = dict(arrays)
    changed["embeddings"][1] += np.linspace(0, 0.01, 48, dtype=np.float32)
    np.savez(embedded, **changed)
    import_rows(embedded, tmp_path / "lib")
    before = contents(tmp_path / "lib")
    with pytest.raises(
        SpaceMismatch, match=r"rows of 1.png differ from those that colours.tiny gives .* stay imported"
    ):
        verify_rows(tmp_path / "lib", host=tiny)
    assert contents(tmp_path / "lib") == before


def test_rows_of_another_version_or_without_files_are_not_verified(tmp_path, zoo, tiny, embedded):
    with np.load(embedded) as arrays:
        other = dict(arrays, fingerprint=np.array("0" * 64))
    np.savez(tmp_path / "other.npz", **other)
    import_rows(tmp_path / "other.npz", tmp_path / "lib")
    with pytest.raises(SpaceMismatch, match="claim colours.tiny with fingerprint 000000000000"):
        verify_rows(tmp_path / "lib", host=tiny)
    import_rows(embedded, tmp_path / "two")
    (zoo / "cats" / "2.png").unlink()
    with pytest.raises(LibraryError, match="expected 3 of its files on this machine, got 2"):
        verify_rows(tmp_path / "two", host=tiny)


def test_a_parquet_file_of_ours_brings_its_labels(tmp_path, zoo, tiny):
    rows = embed(zoo / "dogs", "loudness.tiny", host=tiny)
    every, space = list(rows), tiny.space("loudness.tiny")
    digests = [hashlib.sha256((zoo / "dogs" / row.item.path).read_bytes()).hexdigest() for row in every]
    metadata = {"sightsound.space": space.name, "sightsound.fingerprint": space.fingerprint}
    columns = {"path": [row.item.path for row in every], "root": [row.item.root for row in every], "content": digests}
    columns |= {"start": [row.seconds[0] for row in every], "stop": [row.seconds[1] for row in every]}
    columns |= {"embedding": fixed(np.stack([row.embedding for row in every]))}
    columns["labels.who"] = [["Tom", "Ann"] if row.item.path == "0.wav" else [] for row in every]
    file = write_parquet(tmp_path / "elsewhere.parquet", metadata, **columns)
    report = import_rows(file, tmp_path / "lib", verify=True, host=tiny)
    assert report.verified[0].rows == len(every) == report.rows
    with Library(tmp_path / "lib") as library:
        assert list(library.spaces) == [space] and library.labels(1) == {"who": ("Ann", "Tom")}
    assert check(tmp_path / "lib") == []


def test_a_file_without_a_value_keeps_its_labels(tmp_path, zoo, tiny):
    index(zoo / "dogs", tmp_path / "lib", models=["loudness.tiny"], host=tiny)
    with Library(tmp_path / "lib") as library, library.writing() as writer:
        writer.items.label(1, "who", ["Tom"])
    export_rows(tmp_path / "lib", tmp_path / "rows.parquet")
    with Library(tmp_path / "lib") as library, library.writing() as writer:
        writer.items.label(1, "who", ["Tim"])
        writer.items.label(2, "who", ["Ann"])  # empty in the table
    for _ in range(2):
        import_rows(tmp_path / "rows.parquet", tmp_path / "lib", verify=True, host=tiny)
        with Library(tmp_path / "lib") as library:
            assert [library.labels(number) for number in (1, 2)] == [{"who": ("Tom",)}, {"who": ("Ann",)}]


@pytest.mark.parametrize("prefix", ["sightsound.", ""])
def test_columns_of_lists_of_texts_are_labels_where_a_space_is_claimed(tmp_path, prefix):
    metadata = {f"{prefix}space": "net.made", f"{prefix}fingerprint": "1" * 64}
    columns = {"path": ["a.png", "b.png"], "embedding": fixed(some_rows(2)), "top_labels": [["cat"], ["dog"]]}
    columns |= {"species": [["owl", "hawk"], []], "start": [None, None], "stop": [None, None], "note": [None, "x"]}
    (space,) = import_rows(write_parquet(tmp_path / "r.parquet", metadata, **columns), tmp_path / "lib").spaces
    assert (space.name, space.modality) == ("net.made (imported)", "image")
    with Library(tmp_path / "lib") as library:
        assert library.labels(1) == {"species": ("hawk", "owl")} and library.labels(2) == {}


def test_rows_whose_seconds_are_all_nan_are_of_images(tmp_path):
    nothing = np.full(2, np.nan)
    file = write_npz(tmp_path / "r.npz", ["a.png", "b.png"], some_rows(2), start=nothing, stop=nothing)
    write_parquet(
        tmp_path / "r.parquet", path=["a.png", "b.png"], vector=fixed(some_rows(2)), start=nothing, stop=nothing
    )
    for name in (file, tmp_path / "r.parquet"):
        (space,) = import_rows(name, tmp_path / "lib", space=name.suffix).spaces
        assert space.modality == "image"


def test_layers_are_a_space_each(tmp_path):
    rows = {f"embeddings[{layer}]": some_rows(2, seed) for seed, layer in enumerate("ab")}
    claims = {
        f"{name}[{layer}]": np.array(value)
        for layer in "ab"
        for name, value in (("space", f"net[layer={layer}]"), ("fingerprint", "1" * 64))
    }
    np.savez(tmp_path / "r.npz", layers=np.array(["a", "b"]), paths=np.array(["x.png", "y.png"]), **rows, **claims)
    report = import_rows(tmp_path / "r.npz", tmp_path / "lib")
    assert [space.name for space in report.spaces] == ["net[layer=a] (imported)", "net[layer=b] (imported)"]
    with pytest.raises(SightsoundError, match="rows of 2 layers"):
        import_rows(tmp_path / "r.npz", tmp_path / "lib", space="mine")


def test_the_command_line(tmp_path, zoo, tiny, embedded):
    lib = str(tmp_path / "lib")
    ran = CliRunner().invoke(import_, [str(embedded), "-l", lib], obj=tiny)
    assert ran.exit_code == 0 and "3 rows of 3 files imported into colours.tiny (imported)" in ran.output
    ran = CliRunner().invoke(import_, ["--verify", "-l", lib, "--json"], obj=tiny)
    assert ran.exit_code == 0 and json.loads(ran.output)["verified"][0]["files"] == 3
    ran = CliRunner().invoke(import_, ["-l", lib], obj=tiny)
    assert ran.exit_code == 2 and "expected FILE" in ran.output


def test_files_are_read_block_by_block(tmp_path, monkeypatch, zoo):
    from sightsound.library.incoming import row_source

    monkeypatch.setattr(row_source, "_MOST_ROWS", 2)
    rows, paths = some_rows(7), ["zoo/dogs/0.wav"] * 5 + ["zoo/dogs/1.wav"] * 2
    seconds = np.stack([np.arange(7.0), np.arange(7.0) + 1], axis=1)
    npz = write_npz(tmp_path / "r.npz", paths, rows, seconds=seconds)
    parquet = write_parquet(
        tmp_path / "r.parquet", path=paths, vector=fixed(rows), start=seconds[:, 0], stop=seconds[:, 1]
    )
    import_rows(npz, tmp_path / "lib", space="npz")
    import_rows(parquet, tmp_path / "lib", space="parquet")
    assert import_rows(npz, tmp_path / "lib", space="npz").unchanged == 2
    with Library(tmp_path / "lib") as library:
        for space, count in library.spaces.items():
            np.testing.assert_allclose(library.vectors(space, library.content(1))[0], rows[:5], rtol=1e-6)
            assert count == 7
    before = file_bytes(tmp_path / "lib")
    assert check(tmp_path / "lib") == [] and file_bytes(tmp_path / "lib") == before


# -- scores ------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(tmp_path, zoo, tiny):
    """A library with the scores of recordings, and what it says of them."""
    index(zoo / "dogs", tmp_path / "scored", models=["loudness.tiny"], host=tiny, scores=True)
    return tmp_path / "scored"


def scores_in(library, name):
    with Library(library) as opened:
        space = next(space for space in opened.spaces if space.name == name)
        return {kept.outcomes[0].item.path: kept.scores for kept in opened.scores_in(space)}


@pytest.mark.parametrize(
    ("best", "note"), [(5, []), (1, ["of each row the best scores are kept, at most 1; other classes have 0"])]
)
def test_scores_of_an_export_come_back(tmp_path, scored, tiny, best, note):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    wanted = scores_in(scored, "loudness.tiny")
    export_rows(scored, tmp_path / "r.parquet", best=best)
    report = import_rows(tmp_path / "r.parquet", tmp_path / "lib")
    assert report.notes == note and report.scores == report.rows == sum(map(len, wanted.values()))
    found = scores_in(tmp_path / "lib", "loudness.tiny (imported)")
    assert found.keys() == wanted.keys()
    for path, rows in wanted.items():
        kept = rows if best == 5 else np.where(rows == rows.max(axis=1, keepdims=True), rows, 0)
        assert np.array_equal(found[path], kept)
    if best == 5:
        hits, expected = (search_tags(["loud"], each, host=tiny) for each in (tmp_path / "lib", scored))
        assert [(hit.item.path, hit.seconds) for hit in hits] == [(each.item.path, each.seconds) for each in expected]
        assert hits
        export_rows(tmp_path / "lib", tmp_path / "again.parquet")
        both = [tag_batch(tmp_path / name) for name in ("r.parquet", "again.parquet")]
        assert both[0] == both[1] and any(both[0])
    assert check(tmp_path / "lib") == []


def tag_batch(file):
    parquet = pytest.importorskip("pyarrow.parquet", reason="reads Parquet files")
    return parquet.read_table(file, columns=["top_labels", "top_ids", "top_scores"]).to_pylist()


@pytest.mark.parametrize("best", [1, 5])
def test_some_scores_join_a_network_and_are_computed_where_all_are_asked_for(tmp_path, zoo, scored, tiny, best):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    export_rows(scored, tmp_path / "r.parquet", best=best)
    assert import_rows(tmp_path / "r.parquet", tmp_path / "lib", verify=True, host=tiny).verified[0].rows
    done = index(zoo / "dogs", tmp_path / "lib", models=["loudness.tiny"], host=tiny, scores=True)
    assert done.counts["unchanged"] == (0 if best == 1 else 2)
    found, wanted = scores_in(tmp_path / "lib", "loudness.tiny"), scores_in(scored, "loudness.tiny")
    assert all(np.array_equal(found[path], rows) for path, rows in wanted.items())
    done = index(zoo / "dogs", tmp_path / "lib", models=["loudness.tiny"], host=tiny, scores=True)
    assert done.counts["unchanged"] == 2 and check(tmp_path / "lib") == []


def test_wrong_scores_do_not_join_a_network(tmp_path, scored, tiny):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    export_rows(scored, tmp_path / "r.parquet")
    table = parquet.read_table(tmp_path / "r.parquet")
    at = table.column_names.index("top_scores")
    wrong = pyarrow.array([[0.5] * len(row) for row in table["top_scores"].to_pylist()], table.schema.field(at).type)
    parquet.write_table(table.set_column(at, table.schema.field(at), wrong), tmp_path / "wrong.parquet")
    with pytest.raises(SpaceMismatch, match="the scores of .* differ; its rows stay imported"):
        import_rows(tmp_path / "wrong.parquet", tmp_path / "lib", verify=True, host=tiny)


CLASSES = {"name": "birds", "labels": ["crane", "owl", "crane"], "ids": ["n1", "n2", "n3"]}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"classes": None}, "does not say of which classes"),
        ({"classes": "{"}, "cannot be read"),
        ({"best": "many"}, "cannot be read"),
        ({"score_kind": "guess"}, "expected score_kind sigmoid or softmax"),
        ({"classes": json.dumps({**CLASSES, "ids": []})}, "same name, and no ids"),
    ],
)
def test_scores_are_taken_by_the_ids_of_classes_or_the_report_says_why_not(tmp_path, changed, why):
    said = {"space": "net.made", "fingerprint": "1" * 64, "score_kind": "softmax", "best": "2"}
    said |= {"classes": json.dumps(CLASSES)} | changed
    columns = {"path": ["a.png", "b.png"], "embedding": fixed(some_rows(2))}
    columns |= {"top_labels": [["crane", "owl"], ["crane"]], "top_ids": [["n3", "n2"], ["n1"]]}
    columns |= {"top_scores": [[0.75, 0.125], [0.5]]}
    said = {key: value for key, value in said.items() if value is not None}
    report = import_rows(write_parquet(tmp_path / "r.parquet", said, **columns), tmp_path / "lib")
    assert report.rows == 2 and len(report.notes) == 1
    if why:
        assert report.notes[0].startswith("scores are not imported: ") and why in report.notes[0]
        assert report.scores == 0
    else:
        found = scores_in(tmp_path / "lib", "net.made (imported)")
        assert found["a.png"].tolist() == [[0, 0.125, 0.75]] and found["b.png"].tolist() == [[0.5, 0, 0]]
        with Library(tmp_path / "lib") as library:
            assert library.facts(1)["scores"] == "best 2"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"top_ids": [["n3"], ["n9"]]}, "a class is not in the list"),
        ({"top_ids": [["n3", "n1"], ["n1"]]}, "expected as many as top_ids in each row"),
        ({"top_scores": [[0.75], [float("nan")]]}, "expected numbers from 0 to 1"),
    ],
)
def test_scores_that_cannot_be_are_an_error_in_one_line(tmp_path, changed, why):
    said = {"space": "net.made", "fingerprint": "1" * 64, "score_kind": "softmax", "best": "2"}
    columns = {"path": ["a.png", "b.png"], "embedding": fixed(some_rows(2))}
    columns |= {"top_ids": [["n3"], ["n1"]], "top_scores": [[0.75], [0.5]]} | changed
    file = write_parquet(tmp_path / "r.parquet", said | {"classes": json.dumps(CLASSES)}, **columns)
    with pytest.raises(SightsoundError, match=why):
        import_rows(file, tmp_path / "lib")


def test_the_command_line_says_what_became_of_scores(tmp_path, scored, tiny):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    export_rows(scored, tmp_path / "r.parquet", best=1)
    export_rows(scored, tmp_path / "r.npz")
    words = ["-l", str(tmp_path / "lib")]
    ran = CliRunner().invoke(import_, [str(tmp_path / "r.parquet"), *words], obj=tiny)
    assert "of 2 files, with scores, imported into" in ran.output and "of each row the best scores" in ran.output
    ran = CliRunner().invoke(import_, [str(tmp_path / "r.npz"), "-l", str(tmp_path / "two"), "--json"], obj=tiny)
    assert json.loads(ran.stdout)["notes"][0].startswith("scores are not imported") and ran.exit_code == 0


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"embeddings": some_rows(2).astype(str)}, "embeddings: expected numbers, got <U"),
        ({"embeddings": some_rows(2) + 1j}, "embeddings: expected numbers, got complex64"),
        ({"paths": np.arange(2)}, "paths: expected texts, got int64"),
        ({"content": np.arange(2)}, "content: expected texts, got int64"),
        ({"seconds": np.array([["0", "1"], ["1", "2"]])}, "seconds: expected numbers, got <U1"),
    ],
    ids=["texts", "complex numbers", "paths", "hashes", "seconds"],
)
def test_an_array_of_another_kind_is_refused_in_one_line(tmp_path, arrays, text):
    np.savez(tmp_path / "rows.npz", **{"paths": np.array(["a", "b"]), "embeddings": some_rows(2)} | arrays)
    with pytest.raises(SightsoundError, match=text) as raised:
        import_rows(tmp_path / "rows.npz", tmp_path / "lib", space="mine")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_names_that_are_not_utf8_come_back_from_an_export(tmp_path, tiny, ending):
    """Parquet has an escape for the byte; a name that has such an escape itself stays as it is."""
    pytest.importorskip("pyarrow", reason="reads Parquet files")
    names = [b"caf\xe9.png", rb"caf\xe9.png"]
    for number, name in enumerate(names):
        write_image(tmp_path / "in" / os.fsdecode(name), number)
    index(tmp_path / "in", tmp_path / "lib", models=["colours.tiny"], host=tiny, label_from="folder")
    export_rows(tmp_path / "lib", tmp_path / f"rows.{ending}")
    report = import_rows(tmp_path / f"rows.{ending}", tmp_path / "lib", host=tiny)
    assert (report.items, report.unchanged, report.absent) == (0, 2, 0)
    report = import_rows(tmp_path / f"rows.{ending}", tmp_path / "new", host=tiny)
    assert (report.items, report.absent) == (2, 0)
    with Library(tmp_path / "new") as new:
        assert sorted(os.fsencode(item.path) for item in new.items()) == sorted(names)


def test_columns_of_texts_that_are_no_labels_are_named(tmp_path, zoo):
    other = {"weight": [2.5], "made": np.array([{"by": "me"}], object)}  # objects are not looked at
    file = write_npz(tmp_path / "r.npz", ["zoo/cats/0.png"], some_rows(1), species=["cat"], **other)
    report = import_rows(file, tmp_path / "lib", space="mine")
    assert report.notes == ["not taken as labels: species; --labels species takes them"]
    assert import_rows(file, tmp_path / "other", space="mine", labels=["species"]).notes == []
    file = write_parquet(
        tmp_path / "r.parquet", path=["zoo/cats/0.png"], embedding=fixed(some_rows(1)), species=["cat"], weight=[2.5]
    )
    assert import_rows(file, tmp_path / "third", space="mine").notes == report.notes


def test_several_labels_of_a_file_in_an_exported_npz_are_taken_one_by_one(tmp_path, zoo, tiny):
    index(zoo / "cats", tmp_path / "lib", models=["colours.tiny"], host=tiny)
    with Library(tmp_path / "lib") as library, library.writing() as writer:
        writer.items.label(1, "who", ["Tim", "Tom"])
    export_rows(tmp_path / "lib", tmp_path / "r.npz")
    import_rows(tmp_path / "r.npz", tmp_path / "new", host=tiny, labels=["who"])
    with Library(tmp_path / "new") as new:
        assert [(column, value) for _, column, value in new.all_labels()] == [("who", "Tim"), ("who", "Tom")]


@pytest.mark.parametrize(("most_bytes", "least_items"), [(1, 1), (4 * DIM, 2), (10 * 4 * DIM, 3), (2**22, 20_000)])
def test_rows_that_are_added_many_at_a_time_or_one_by_one_are_the_same(tmp_path, monkeypatch, most_bytes, least_items):
    """Copies of a file, a file that is named in two ways, one that the library has, and some that are not there."""
    for number in range(4):
        write_sound(tmp_path / f"{number}.wav", number, seconds=2)
    shutil.copy(tmp_path / "1.wav", tmp_path / "copy.wav")
    counts = {
        "0.wav": 1,
        "1.wav": 3,
        "gone/a,b.wav": 2,
        "2.wav": 1,
        "copy.wav": 3,
        "./2.wav": 1,
        "gone/x.wav": 12,
        "3.wav": 2,
    }
    rows, paths = some_rows(sum(counts.values())), [path for path, count in counts.items() for _ in range(count)]
    at = {path: paths.index(path) for path in counts}
    rows[at["copy.wav"] : at["copy.wav"] + 3] = rows[at["1.wav"] : at["1.wav"] + 3]
    rows[at["./2.wav"]] = rows[at["2.wav"]]
    seconds = np.array([[n, n + 1.0] for count in counts.values() for n in range(count)])
    write_npz(tmp_path / "first.npz", ["0.wav"], rows[:1], seconds=seconds[:1])
    file = write_npz(tmp_path / "rows.npz", paths, rows, seconds=seconds, who=[path[0] for path in paths])
    imports = (tmp_path / "first.npz", []), (file, ["who"])
    monkeypatch.setattr("sightsound.library.incoming.row_source.BLOCK_BYTES", 5 * 4 * DIM)
    monkeypatch.setattr("sightsound.library.incoming.import_rows.MOST_BYTES", most_bytes)
    monkeypatch.setattr("sightsound.library.incoming.gathered_items.MOST_BYTES", most_bytes)
    monkeypatch.setattr("sightsound.library.store.commit_pace._LEAST_ITEMS", least_items)
    for name, labels in imports:
        report = import_rows(name, tmp_path / "lib", space="mine", labels=labels)
    assert (report.items, report.rows, report.absent, report.unchanged, report.left_out) == (6, 20, 2, 2, [])
    with Library(tmp_path / "lib") as library:
        (space,) = library.spaces
        assert [item.path for item in library.items()] == [path for path in counts if path != "./2.wav"]
        for item in library.items():
            stored, spans = library.vectors(space, library.content(item.id))
            first, count = at[item.path], counts[item.path]
            np.testing.assert_allclose(stored, rows[first : first + count], rtol=1e-6)
            assert np.array_equal(spans, seconds[first : first + count])
            assert library.labels(item.id) == {"who": ("." if item.path == "2.wav" else item.path[0],)}
    assert check(tmp_path / "lib") == []
    before = contents(tmp_path / "lib")
    assert import_rows(file, tmp_path / "lib", space="mine", labels=["who"]).unchanged == len(counts)
    assert contents(tmp_path / "lib") == before
