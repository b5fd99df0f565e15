"""`export_rows`, `export_atlas`, `export_huggingface`, `Library.to_arrow`, and the command `sightsound export`."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from PIL import Image

import made
from sightsound import (
    AtlasExport,
    Filter,
    Library,
    LibraryError,
    Session,
    SightsoundError,
    compact,
    export_atlas,
    export_huggingface,
    export_rows,
    forget,
    import_rows,
    index,
    search,
)
from sightsound.contract import row_names
from sightsound.formats import parquet
from sightsound.library import row_blocks
from sightsound.library.export.projection import principal_axes
from sightsound.library.store import segments

SOUNDS, IMAGES = "loudness.tiny", "colours.tiny"


@pytest.fixture
def zoo(tmp_path):
    """Three images, and three recordings, of which two are equal."""
    folder = tmp_path / "zoo"
    for i in range(3):
        made.write_image(folder / "cats" / f"{i}.png", i)
    for i in range(2):
        made.write_sound(folder / "dogs" / f"{i}.wav", i, seconds=3 + i)
    (folder / "copy.wav").write_bytes((folder / "dogs" / "0.wav").read_bytes())
    return folder


@pytest.fixture
def where(tiny, zoo, tmp_path):
    (tmp_path / "table.csv").write_text("path,who,path.x\ncats/0.png,Tom,a\ncats/0.png,Tim,\ndogs/1.wav,Rex,\n")
    index(zoo, tmp_path / "lib", models=[SOUNDS, IMAGES], host=tiny, label_from=tmp_path / "table.csv", scores=True)
    return tmp_path / "lib"


def stored(library, space_name, where=None):
    """(path, start, stop) -> the row, as other methods of the library give them."""
    with Library(library) as opened:
        space = opened.chosen_space(space_name)
        return {
            (item.path, *span): row
            for items, rows, spans in opened.contents_in(space, where)
            for item in items
            for row, span in zip(rows, np.nan_to_num(spans, nan=-1).tolist())
        }


def read(file):
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    return pq.read_table(file)


def keyed(table, vectors="embedding"):
    columns = [table.column(name).to_pylist() for name in ("path", "start", "stop", vectors)]
    return {(p, *(-1 if s is None else s for s in span)): row for p, *span, row in zip(*columns)}


def assert_same(found, wanted):
    assert set(found) == set(wanted) and found
    for key, row in wanted.items():
        assert np.array_equal(np.asarray(found[key], np.float32), row), key


@pytest.mark.parametrize(("space", "count"), [(SOUNDS, 5 + 5 + 7), (IMAGES, 3)])
def test_parquet_has_the_rows_bit_for_bit_with_their_items(where, tmp_path, space, count):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    assert export_rows(where, tmp_path / "r.parquet", space=space) == count
    table = read(tmp_path / "r.parquet")
    assert table.num_rows == count
    assert_same(keyed(table), stored(where, space))
    with Library(where) as opened:
        hashes = {item.path: opened.content(item.id).hex() for item in opened.items()}
        ids = {item.path: item.id for item in opened.items()}
        meant = opened.chosen_space(space)
    rows = table.to_pylist()
    assert all(row["content"] == hashes[row["path"]] and row["item"] == ids[row["path"]] for row in rows)
    whos = {row["path"]: row["who"] for row in rows}
    assert whos.get("cats/0.png", whos.get("dogs/1.wav")) in (["Tim", "Tom"], ["Rex"])
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert (metadata["space"], metadata["fingerprint"], metadata["format"]) == (space, meant.fingerprint, "1")
    assert set(metadata) <= set(row_names.ABOUT), "names that import does not know are taken for columns of an .npz"
    assert str(table.schema.field("embedding").type).startswith("fixed_size_list<") and meant.dim == len(
        rows[0]["embedding"]
    )
    described = json.loads((tmp_path / "r.columns.json").read_text())
    assert [c["name"] for c in described["columns"]] + ["note"] == table.column_names
    assert all(c["meaning"] for c in described["columns"]) and described["fingerprint"] == meant.fingerprint


def test_rows_of_small_blocks_are_the_same(where, tmp_path, monkeypatch):
    wanted = stored(where, SOUNDS)
    for most in (1, 2, 3, 6):
        monkeypatch.setattr(row_blocks, "BLOCK_ROWS", most)
        with Library(where) as opened:
            blocks = list(opened.row_blocks(opened.chosen_space(SOUNDS)))
        assert max(len(np.unique(block.rows, axis=0)) for block in blocks) <= most
        found = {
            (block.items[of].path, *span): row
            for block in blocks
            for of, span, row in zip(block.of.tolist(), block.spans.tolist(), block.rows)
        }
        assert sum(map(len, blocks)) == len(wanted)
        assert_same(found, wanted)


def test_rows_of_several_segments_come_in_their_order_also_after_compact(tiny, tmp_path, monkeypatch):
    for i in range(4):
        made.write_sound(tmp_path / "in" / f"{i}.wav", i, seconds=6)
    monkeypatch.setattr(segments, "MAX_BYTES", 17 * 4 * 7)
    index(tmp_path / "in", tmp_path / "lib2", models=[SOUNDS], host=tiny)
    forget(tmp_path / "in" / "1.wav", tmp_path / "lib2")
    for _ in range(2):
        with Library(tmp_path / "lib2") as opened:
            assert len(opened.rows("SELECT * FROM segments")) > 2
            (space,) = opened.spaces
            (block,) = opened.row_blocks(space)
        assert [block.items[i].path for i in block.of] == [p for p in ("0.wav", "2.wav", "3.wav") for _ in range(11)]
        assert block.spans[:, 0].tolist() == 3 * [i / 2 for i in range(11)]
        found = {(block.items[of].path, *s): r for of, s, r in zip(block.of, block.spans.tolist(), block.rows)}
        assert_same(found, stored(tmp_path / "lib2", SOUNDS))
        compact(tmp_path / "lib2")


@pytest.mark.parametrize(
    "chosen",
    [
        Filter(labels=("who=Rex",)),
        Filter(unlabelled=("who",)),
        Filter(paths=("copy*",)),
        Filter(facts=("seconds>3.5",)),
        Filter(modality="sound"),
    ],
)
def test_a_filter_keeps_the_rows_of_its_items(where, tmp_path, chosen):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    export_rows(where, tmp_path / "r.parquet", space=SOUNDS, where=chosen)
    assert_same(keyed(read(tmp_path / "r.parquet")), stored(where, SOUNDS, chosen))


def test_a_filter_that_keeps_nothing_gives_a_table_without_rows(where, tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    assert export_rows(where, tmp_path / "r.parquet", space=SOUNDS, where=Filter(modality="image")) == 0
    assert export_rows(where, tmp_path / "r.parquet", space=SOUNDS, where=Filter(labels=("no",))) == 0
    assert read(tmp_path / "r.parquet").num_rows == 0


def test_the_best_classes_are_those_with_the_highest_scores(where, tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    export_rows(where, tmp_path / "r.parquet", space=SOUNDS, best=1)
    with Library(where) as opened:
        kept = {k.outcomes[0].item.path: k for k in opened.scores_in(opened.chosen_space(SOUNDS))}
    for row in read(tmp_path / "r.parquet").to_pylist():
        scores = next(k for k in kept.values() if row["path"] in {o.item.path for o in k.outcomes})
        number = scores.spans[:, 0].tolist().index(row["start"])
        at = int(scores.scores[number].argmax())
        if scores.scores[number].max() > 0:
            assert row["top_labels"] == [scores.classes.labels[at]]
            assert row["top_scores"] == [scores.scores[number, at]]
    export_rows(where, tmp_path / "r.parquet", space=SOUNDS, best=0)
    assert "top_labels" not in read(tmp_path / "r.parquet").column_names


def test_csv_has_a_column_for_each_number(where, tmp_path):
    export_rows(where, tmp_path / "r.csv", space=IMAGES)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    found = {(row["path"], -1, -1): [float(row[f"embedding_{i}"]) for i in range(48)] for row in rows}
    assert_same(found, stored(where, IMAGES))
    assert (tmp_path / "r.columns.json").exists()


def test_npz_is_taken_by_a_search(where, tmp_path, tiny):
    from sightsound import Vectors

    export_rows(where, tmp_path / "r.npz", space=SOUNDS)
    with np.load(tmp_path / "r.npz", allow_pickle=False) as found:
        spans = found["seconds"].tolist()
        assert_same(
            dict(zip(((p, *s) for p, s in zip(found["paths"].tolist(), spans)), found["embeddings"])),
            stored(where, SOUNDS),
        )
        assert set(found["who"].tolist()) == {"", "Rex"}
    hits = search(Vectors.load(tmp_path / "r.npz"), where, host=tiny, k=1)
    assert hits[0].score == pytest.approx(1, abs=1e-6)


def test_the_space_must_be_named_where_there_are_several(where, tmp_path):
    with pytest.raises(LibraryError, match="lib: expected the name of one of its spaces; there are loudness.tiny"):
        export_rows(where, tmp_path / "r.csv")
    with pytest.raises(LibraryError, match="space 'no': expected the name of a space"):
        export_rows(where, tmp_path / "r.csv", space="no")
    assert not (tmp_path / "r.csv").exists()


@pytest.mark.parametrize("name", ["r.json", "r.txt", "r"])
def test_other_endings_are_refused(where, tmp_path, name):
    with pytest.raises(SightsoundError, match="expected a name that ends in .parquet, .csv or .npz"):
        export_rows(where, tmp_path / name, space=IMAGES)


def test_nothing_is_written_into_a_library(where):
    before = sorted(path.name for path in where.iterdir())
    for place in (where / "rows.csv", where / "sub" / ".." / "rows.npz"):
        (where / "sub").mkdir(exist_ok=True)
        with pytest.raises(SightsoundError, match="is in the library"):
            export_rows(where, place, space=IMAGES)
    (where / "sub").rmdir()
    with pytest.raises(SightsoundError, match="is in the library"):
        export_huggingface(where, where, where=Filter(modality="image"))
    assert sorted(path.name for path in where.iterdir()) == before


@pytest.mark.parametrize("content", ['{"mine": 1}', "[]", '{"columns": [{"name": "x"}]}', "not JSON", "\x00", ""])
def test_a_description_of_columns_replaces_no_file_of_the_user(command, where, tmp_path, content):
    (tmp_path / "r.columns.json").write_text(content)
    words = ("export", where, "-m", IMAGES, "--to")
    for more in ((tmp_path / "r.csv",), (tmp_path / "r.npz",), (tmp_path / "r.parquet", "--for", "embedding-atlas")):
        if ".parquet" in str(more):
            pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
        done = command(*words, *more)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "r.columns.json: expected a description of columns that `export` wrote, or no file" in done.stderr
        assert (tmp_path / "r.columns.json").read_text() == content and not more[0].exists()
    (tmp_path / "r.columns.json").unlink()
    for _ in range(2):  # its own one is replaced
        assert command(*words, tmp_path / "r.csv").returncode == 0
        assert json.loads((tmp_path / "r.columns.json").read_text())["space"] == IMAGES


def test_row_groups_have_a_bounded_number_of_rows(where, tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    monkeypatch.setattr(parquet, "GROUP_ROWS", 4)
    export_rows(where, tmp_path / "r.parquet", space=SOUNDS)
    metadata = pq.ParquetFile(tmp_path / "r.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [4, 4, 4, 4, 1]


# -- tables in memory --------------------------------------------------------------------------------------------


def test_to_arrow_is_what_is_exported(where, tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    export_rows(where, tmp_path / "r.parquet", space=SOUNDS)
    with Library(where) as opened:
        table = opened.to_arrow(SOUNDS)
        assert table.to_pylist() == read(tmp_path / "r.parquet").to_pylist()
        assert table.schema.metadata[b"space"] == SOUNDS.encode()
        assert opened.to_arrow(IMAGES, Filter(labels=("Tom",)), best=0).column("path").to_pylist() == ["cats/0.png"]
    with Session(where) as session:
        assert session._library.to_arrow(SOUNDS).equals(table)
        space = session._library.chosen_space(SOUNDS)
        assert sum(map(len, session._library.row_blocks(space))) == table.num_rows


def test_to_pandas_has_a_vector_in_each_row(where):
    pytest.importorskip("pandas", reason="needs pandas")
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    with Library(where) as opened:
        frame = opened.to_pandas(IMAGES)
    assert np.stack(frame["embedding"]).shape == (3, 48)
    assert frame.set_index("path").loc["cats/0.png", "who"].tolist() == ["Tim", "Tom"]


def test_duckdb_reads_the_file_as_it_is(where, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="needs DuckDB")
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    export_rows(where, tmp_path / "r.parquet", space=SOUNDS)
    file = str(tmp_path / "r.parquet")
    found = duckdb.execute("SELECT path, count(*), max(stop) FROM read_parquet(?) GROUP BY path ORDER BY path", [file])
    assert found.fetchall() == [("copy.wav", 5, 3.0), ("dogs/0.wav", 5, 3.0), ("dogs/1.wav", 7, 4.0)]
    query = (
        "SELECT b.path FROM read_parquet($file) a JOIN read_parquet($file) b"
        " ON a.content = b.content AND a.start = b.start WHERE a.path = 'copy.wav' AND a.start = 0"
        " AND array_cosine_similarity(a.embedding::FLOAT[17], b.embedding::FLOAT[17]) > 0.999 ORDER BY 1"
    )
    assert duckdb.execute(query, {"file": file}).fetchall() == [("copy.wav",), ("dogs/0.wav",)]
    labels = duckdb.execute("SELECT DISTINCT unnest(who) FROM read_parquet(?)", [file]).fetchall()
    assert labels == [("Rex",)]


# -- Embedding Atlas ---------------------------------------------------------------------------------------------


def test_an_atlas_has_coordinates_neighbours_and_thumbnails(where, tmp_path, tiny):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    assert export_atlas(where, tmp_path / "a.parquet", space=IMAGES) == AtlasExport(items=3)
    rows = read(tmp_path / "a.parquet").to_pylist()
    for number, row in enumerate(rows):
        near, distances = row["neighbors"]["ids"], row["neighbors"]["distances"]
        assert sorted([*near, number]) == [0, 1, 2] and distances == sorted(distances)
        hits = search(row["item"], where, host=tiny, k=3)
        assert [rows[n]["item"] for n in near] == [hit.item.id for hit in hits]
        assert distances == pytest.approx([1 - hit.score for hit in hits], abs=1e-6)
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (picture.format, picture.size) == ("JPEG", (24, 20))
        assert row["image"]["path"].endswith(row["path"])
    assert {row["who"] for row in rows} == {"Tim; Tom", None}
    xy = np.array([(row["x"], row["y"]) for row in rows])
    assert np.abs(xy.mean(axis=0)).max() < 1e-6 and xy[:, 0].var() >= xy[:, 1].var() > 0


def test_an_atlas_of_sounds_has_a_part_of_each(where, tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    export_atlas(where, tmp_path / "a.parquet", space=SOUNDS, neighbours=1)
    rows = read(tmp_path / "a.parquet").to_pylist()
    assert len(rows) == 3 and {len(row["neighbors"]["ids"]) for row in rows} == {1}
    for row in rows:
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert rate == made.RATE and len(samples) == rate  # one window of a second
    by_path = {row["path"]: row for row in rows}
    number = [row["path"] for row in rows].index("dogs/0.wav")
    assert by_path["copy.wav"]["neighbors"]["ids"] == [number]
    assert by_path["copy.wav"]["x"] == by_path["dogs/0.wav"]["x"]


def test_an_atlas_has_as_many_neighbours_for_each_item(where, tmp_path, monkeypatch):
    """Embedding Atlas makes one array of the neighbours of all items."""
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    search_many = Library.search_many

    def without_some(self, *given, **how):
        first, *others = search_many(self, *given, **how)
        return [first[:1], *others]

    monkeypatch.setattr(Library, "search_many", without_some)
    export_atlas(where, tmp_path / "a.parquet", space=IMAGES, media="none")
    near = [row["neighbors"] for row in read(tmp_path / "a.parquet").to_pylist()]
    assert (
        np.stack([each["ids"] for each in near]).shape == np.stack([each["distances"] for each in near]).shape == (3, 2)
    )
    assert near[0] == {"ids": [0, 0], "distances": [0.0, 0.0]}


@pytest.mark.parametrize(("space", "media"), [(IMAGES, "image"), (SOUNDS, "audio")])
def test_embedding_atlas_reads_what_is_written(where, tmp_path, space, media):
    """Its own command makes an application of the file."""
    atlas = pytest.importorskip("embedding_atlas.cli", reason="needs embedding-atlas")
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    file, out = tmp_path / "a.parquet", tmp_path / "app.zip"
    export_atlas(where, file, space=space)
    words = [str(file), "--x", "x", "--y", "y", "--neighbors", "neighbors", "--export-application", str(out)]
    ran = CliRunner().invoke(atlas.main, words)
    assert ran.exit_code == 0, ran.output
    with zipfile.ZipFile(out) as archive:
        taken = read(io.BytesIO(archive.read("data/dataset.parquet"))).to_pylist()
        props = json.loads(archive.read("data/metadata.json"))["props"]["data"]
    assert props["projection"] == {"x": "x", "y": "y"} and props["neighbors"] == "neighbors"
    for row, own in zip(taken, read(file).to_pylist(), strict=True):
        assert [row[name] for name in ("x", "y", "path", "neighbors", media)] == [
            own[name] for name in ("x", "y", "path", "neighbors", media)
        ]


def test_an_atlas_in_small_blocks_is_the_same(where, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    export_atlas(where, tmp_path / "a.parquet", space=SOUNDS, media="none")
    wanted = {row["path"]: (row["x"], row["y"]) for row in read(tmp_path / "a.parquet").to_pylist()}
    for most in (1, 3):
        monkeypatch.setattr(row_blocks, "BLOCK_ROWS", most)
        assert export_atlas(where, tmp_path / "b.parquet", space=SOUNDS, media="none") == AtlasExport(items=3)
        found = {row["path"]: (row["x"], row["y"]) for row in read(tmp_path / "b.parquet").to_pylist()}
        assert found == {path: pytest.approx(xy, abs=1e-6) for path, xy in wanted.items()}


@pytest.mark.parametrize("media", ["small", "file"])
def test_a_file_that_is_gone_has_no_bytes_in_an_atlas(where, zoo, tmp_path, media):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    (zoo / "cats" / "1.png").unlink()
    found = export_atlas(where, tmp_path / "a.parquet", space=IMAGES, media=media, neighbours=0)
    assert found == AtlasExport(items=3, without_media=1)
    rows = {row["path"]: row["image"] for row in read(tmp_path / "a.parquet").to_pylist()}
    assert rows["cats/1.png"] == {"bytes": None, "path": str(zoo / "cats" / "1.png")}
    if media == "file":
        assert rows["cats/0.png"]["bytes"] == (zoo / "cats" / "0.png").read_bytes()


def test_the_axes_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32) * np.arange(1, 7, dtype=np.float32)
    found = principal_axes(iter([rows[:70], rows[70:71], rows[71:]]), 6)(rows)
    wanted = PCA(2).fit_transform(rows.astype(np.float64))
    signs = np.sign((found * wanted).sum(axis=0))
    assert np.abs(found - wanted * signs).max() < 1e-4
    assert principal_axes(iter([]), 6)(rows[:0]).shape == (0, 2)
    assert principal_axes(iter([rows[:, :1]]), 1)(rows[:, :1])[:, 1].tolist() == [0.0] * 200


# -- datasets of Hugging Face ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("files", "table"), [("link", "csv"), ("copy", "parquet")])
def test_a_folder_has_files_and_their_metadata(where, zoo, tmp_path, files, table):
    if table == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    found = export_huggingface(where, tmp_path / "hf", where=Filter(modality="image"), files=files, table=table)
    assert (found.items, found.left_out) == (3, 0)
    train = tmp_path / "hf" / "train"
    if table == "csv":
        rows = list(csv.DictReader(io.StringIO((train / "metadata.csv").read_text())))
    else:
        rows = read(train / "metadata.parquet").to_pylist()
    for row in rows:
        assert (train / row["file_name"]).read_bytes() == (zoo / row["path"]).read_bytes()
        assert (train / row["file_name"]).is_symlink() == (files == "link")
    assert {str(row["who"]) for row in rows} <= {"", "Tim; Tom", "None"}
    assert len(list(train.iterdir())) == 4 and not list(tmp_path.glob(".sightsound-*"))


def test_datasets_reads_the_folder(where, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets", reason="needs datasets of Hugging Face")
    export_huggingface(where, tmp_path / "hf", where=Filter(modality="image"), files="copy")
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "hf"), split="train", cache_dir=cache)
    assert len(loaded) == 3 and loaded[0]["image"].size == (24, 20)
    assert set(loaded["path"]) == {f"cats/{i}.png" for i in range(3)}


def test_what_datasets_cannot_take_is_left_out_and_counted(where, zoo, tmp_path):
    (zoo / "cats" / "1.png").unlink()
    found = export_huggingface(where, tmp_path / "hf", where=Filter(modality="image"))
    assert (found.items, found.left_out) == (2, 1)


def test_a_folder_is_of_one_modality_and_new(where, tmp_path):
    with pytest.raises(SightsoundError, match="expected images or sounds, got both"):
        export_huggingface(where, tmp_path / "hf")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(SightsoundError, match="expected a new or empty folder"):
        export_huggingface(where, tmp_path / "full", where=Filter(modality="image"))
    with pytest.raises(SightsoundError, match="cannot be written"):
        export_huggingface(where, tmp_path / "no" / "hf", where=Filter(modality="image"))


# -- the command -------------------------------------------------------------------------------------------------


def test_the_command_writes_what_the_functions_do(command, where, tmp_path):
    done = command("export", where, "--to", tmp_path / "r.csv", "-m", IMAGES, "--label", "who=Tom")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"1 vector in {tmp_path / 'r.csv'}\n", "")
    done = command("export", where, "--to", tmp_path / "hf", "--for", "huggingface", "--modality", "image")
    assert (done.returncode, done.stdout) == (0, f"3 items in {tmp_path / 'hf'}\n")
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    done = command("export", where, "--to", tmp_path / "a.parquet", "--for", "embedding-atlas", "-m", SOUNDS)
    assert done.returncode == 0, done.stderr
    last = f"next: embedding-atlas {tmp_path / 'a.parquet'} --x x --y y --neighbors neighbors"
    assert done.stdout.splitlines() == [f"3 items in {tmp_path / 'a.parquet'}", last]
    done = command("export", where, "--to", tmp_path / "a.parquet", "--for", "embedding-atlas", "-m", IMAGES)
    assert done.stdout.splitlines()[1] == f"{last} --image image"


def test_files_that_are_gone_are_counted_and_the_exit_code_is_1(command, where, zoo, tmp_path):
    (zoo / "cats" / "1.png").unlink()
    words = ("export", where, "--modality", "image", "--for")
    done = command(*words, "huggingface", "--to", tmp_path / "hf")
    assert (done.returncode, done.stdout) == (1, f"2 items in {tmp_path / 'hf'}\n")
    assert done.stderr.startswith("1 item left out (gone, failed, or of another ending")
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    atlas = (*words, "embedding-atlas", "-m", IMAGES, "--to", tmp_path / "a.parquet")
    done = command(*atlas)
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, f"3 items in {tmp_path / 'a.parquet'}")
    assert done.stderr.startswith("1 item without media (gone, cannot be read, or over 64 MiB")
    for media in ("path", "none"):
        done = command(*atlas, "--media", media)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--to", "r.csv"], "expected the name of one of its spaces"),
        (["--to", "r.json", "-m", IMAGES], "expected a name that ends in .parquet, .csv or .npz, got .json"),
        (["--to", "r.csv", "-m", IMAGES, "--media", "none"], "--media is not for a file of vectors"),
        (["--to", "r.csv", "--for", "embedding-atlas", "-m", IMAGES], "expected a name that ends in .parquet"),
        (["--to", "hf", "--for", "huggingface", "-m", IMAGES], "--space is not for --for huggingface"),
        (["--to", "no/r.csv", "-m", IMAGES], "cannot be written"),
    ],
)
def test_mistakes_are_one_line(command, where, tmp_path, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    done = command("export", where, *words)
    assert done.returncode == 2 and expected in done.stderr and done.stdout == ""
    assert "Traceback" not in done.stderr


def test_an_export_without_its_library_is_refused(command, tmp_path):
    done = command("export", tmp_path / "no", "--to", tmp_path / "r.csv")
    assert done.returncode == 2 and done.stderr.startswith("sightsound: no library at ")


def test_a_damaged_library_gives_one_line_and_no_file(command, where, tmp_path):
    (broken := tmp_path / "broken") and shutil.copytree(where, broken)
    (rows,) = [p for p in broken.glob("*.f32") if p.stat().st_size % (48 * 4) == 0 and p.stat().st_size < 3000]
    rows.write_bytes(rows.read_bytes()[:100])
    done = command("export", broken, "--to", tmp_path / "r.csv", "-m", IMAGES)
    assert done.returncode == 2 and "damaged" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "r.csv").exists() and not (tmp_path / "r.columns.json").exists()


def test_facts_of_files_are_columns_of_every_table(command, tmp_path, tiny):
    """A library of images and sounds: the rows of a network have the facts of its own files."""
    pandas = pytest.importorskip("pandas", reason="reads tables")
    pytest.importorskip("pyarrow", reason="writes Parquet files")
    exif = Image.Exif()
    exif[272] = "=X,1"  # Model
    exif.get_ifd(34665)[36867] = "2026:05:01 04:30:00"  # DateTimeOriginal
    (tmp_path / "in").mkdir()
    Image.new("RGB", (32, 24), "red").save(tmp_path / "in" / "a.jpg", exif=exif)
    Image.new("RGB", (64, 24), "blue").save(tmp_path / "in" / "b.png")
    made.write_sound(tmp_path / "in" / "c.wav", 1, seconds=1)
    index(tmp_path / "in", tmp_path / "lib", models=[SOUNDS, IMAGES], host=tiny)
    table = tmp_path / "t"
    assert command("list", "-l", tmp_path / "lib", "-o", f"{table}.parquet").returncode == 0
    listed = pandas.read_parquet(f"{table}.parquet")
    assert listed["fact.recorded"].tolist()[0] == "2026-05-01T04:30:00" and listed["fact.recorded"].isna().sum() == 2
    assert listed["fact.width"].tolist()[:2] == [32, 64] and listed["fact.sample_rate"].notna().sum() == 1
    assert command("list", "-l", tmp_path / "lib", "-o", f"{table}.csv").returncode == 0
    read = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [row["fact.camera"] for row in read] == ["'=X,1", "", ""] and "fact.camera: an ap" in read[0]["note"]
    for ending in ("parquet", "csv", "npz"):
        export_rows(tmp_path / "lib", f"{table}.{ending}", space=IMAGES)
    exported = pandas.read_parquet(f"{table}.parquet")
    assert exported["fact.camera"].tolist()[0] == "=X,1" and exported["fact.height"].tolist() == [24, 24]
    assert not {"fact.sample_rate", "fact.channels"} & {*exported.columns}
    archive = np.load(f"{table}.npz")
    assert archive["fact.recorded"].tolist() == ["2026-05-01T04:30:00", ""] and archive["fact.width"].tolist() == [
        32,
        64,
    ]
    with Library(tmp_path / "lib") as library:
        assert library.to_pandas(IMAGES).columns.tolist() == exported.columns.tolist()
        assert "fact.sample_rate" in library.to_pandas(SOUNDS).columns
    export_atlas(tmp_path / "lib", tmp_path / "a.parquet", space=IMAGES, neighbours=0, media="none")
    assert pandas.read_parquet(tmp_path / "a.parquet")["fact.width"].tolist() == [32, 64]
    export_huggingface(tmp_path / "lib", tmp_path / "out", where=Filter(modality="image"))
    with (tmp_path / "out" / "train" / "metadata.csv").open(newline="") as opened:
        assert [row["fact.recorded"] for row in csv.DictReader(opened)] == ["2026-05-01T04:30:00", ""]
    report = import_rows(f"{table}.parquet", tmp_path / "new", host=tiny)
    assert report.rows == 2 and not any("fact" in note for note in report.notes)
    with Library(tmp_path / "new") as library:
        assert library.label_columns() == []
