"""Tables as CSV, JSON, Parquet and npz: what is written is read again by the modules csv and json, pyarrow, NumPy."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from sightsound import SightsoundError
from sightsound.formats import parquet, writing
from sightsound.formats.columns import Column, batch_of, batches_of, dictionary
from sightsound.formats.csv_file import csv_text_of
from sightsound.formats.json_file import json_text_of, objects_of
from sightsound.formats.npz import write_npz
from sightsound.formats.texts import csv_cell, utf8

COLUMNS = (
    Column("path", "path", "the file"),
    Column("label", "texts"),
    Column("seconds", "number", "how long", "s"),
    Column("count", "integer"),
    Column("vector", "vector", dim=2),
)
NOT_UTF8 = "caf\udce9.png"
PATHS = ["a.png", 'b,"c".png', "d\ne.png", "=f.png", "-g.png", "@h.png", NOT_UTF8, "i\x1b[2J.png", "käse;.png"]
ROWS = [[path, ["x"], number / 3, number, [0.1, number]] for number, path in enumerate(PATHS)]


def as_csv(columns, rows):
    text = "".join(csv_text_of(columns, batches_of(columns, rows)))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_keeps_every_path_that_it_can_and_the_note_says_of_the_others_why_not():
    found = as_csv(COLUMNS, ROWS)
    assert len(found) == len(ROWS)
    same = {path: row for path, row in zip(PATHS, found) if row["path"].removeprefix("./") == path}
    assert set(PATHS) - set(same) == {NOT_UTF8, "i\x1b[2J.png"}
    assert {row["note"] for row in same.values()} == {""}
    notes = [row["note"] for row in found if row["note"]]
    assert notes == ["path: bytes that are not UTF-8 are escaped", "path: control characters are escaped"]
    assert not any(row["path"][0] in "=-@+" for row in found)
    assert [row["vector_0"] for row in found] == ["0.1"] * len(ROWS)


@pytest.mark.parametrize(
    ("values", "cell", "note"),
    [
        (["owl"], "owl", ""),
        (["owl", "tit"], "owl; tit", ""),
        (["=1+1"], "'=1+1", "label: an apostrophe is put before it"),
        (["a; b", "c"], '"a; b"; c', "label: a value with a semicolon or a quote is in quotes"),
        (["a; b"], '"a; b"', "label: a value with a semicolon or a quote is in quotes"),
        (["a;b", "c"], "a;b; c", ""),
        (["-5"], "-5", ""),
        (["'=1"], "''=1", "label: an apostrophe is put before it"),
        ([], "", ""),
    ],
)
def test_lists_of_labels_are_one_cell_of_csv(values, cell, note):
    columns = (Column("label", "texts"),)
    assert as_csv(columns, [[values]]) == [{"label": cell, "note": note}]


def test_json_is_one_array_that_is_read_as_the_same_values():
    rows = [*ROWS, ["nan", [], float("nan"), None, [1.0, float("inf")]]]
    pieces = list(json_text_of(objects_of(COLUMNS, batches_of(COLUMNS, rows))))
    assert len(pieces) == len(rows) + 1 and "".join(pieces).isascii()
    found = json.loads("".join(pieces))
    assert [row["path"] for row in found[:-1]] == PATHS
    assert found[-1] == {"path": "nan", "label": [], "seconds": None, "count": None, "vector": [1.0, None]}
    assert json.loads("".join(json_text_of([]))) == []


def test_parquet_has_types_meanings_and_metadata(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    writing.write_table(tmp_path / "t.parquet", COLUMNS, batches_of(COLUMNS, ROWS), {"space": "tiny"})
    table = pq.read_table(tmp_path / "t.parquet")
    assert [str(field.type) for field in table.schema] == [
        *("string", "list<element: string>", "double", "int64"),
        *("fixed_size_list<element: float>[2]", "string"),
    ]
    assert table.schema.metadata[b"space"] == b"tiny"
    assert table.schema.field("seconds").metadata == {b"meaning": b"how long", b"unit": b"s"}
    paths = table.column("path").to_pylist()
    assert [p for p, wanted in zip(paths, PATHS) if p != wanted] == ["caf\\xe9.png"]
    assert [n for n in table.column("note").to_pylist() if n] == ["path: bytes that are not UTF-8 are escaped"]
    assert table.column("count").to_pylist() == list(range(len(ROWS)))


def test_parquet_joins_small_batches_and_divides_large_ones(tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    monkeypatch.setattr(parquet, "GROUP_ROWS", 10)
    columns = (Column("n", "integer"),)
    batches = [{"n": np.arange(3)}] * 7 + [{"n": np.arange(25)}]
    assert parquet.write_parquet(tmp_path / "t.parquet", columns, batches, {}) == 46
    file = pq.ParquetFile(tmp_path / "t.parquet")
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    assert max(sizes) <= 10 and sum(sizes) == 46
    assert file.read().column("n").to_pylist() == [0, 1, 2] * 7 + list(range(25))


def test_a_table_without_rows_has_its_columns_in_every_format(tmp_path):
    writing.write_table(tmp_path / "t.csv", COLUMNS, [])
    assert (tmp_path / "t.csv").read_text() == "path,label,seconds,count,vector_0,vector_1,note\n"
    writing.write_table(tmp_path / "t.json", COLUMNS, [])
    assert json.loads((tmp_path / "t.json").read_text()) == []
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    writing.write_table(tmp_path / "t.parquet", COLUMNS, [])
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 0


def test_texts_of_an_npz_take_little_room_and_numbers_are_stored_as_they_are(tmp_path):
    rows = [[f"a/long/folder/{number}.wav", number] for number in range(1000)]
    columns = [Column("path", "path"), Column("item", "integer")]
    write_npz(tmp_path / "t.npz", columns, [batch_of(columns, rows)], {})
    with zipfile.ZipFile(tmp_path / "t.npz") as archive:
        texts, numbers = (archive.getinfo(f"{name}.npy") for name in ("path", "item"))
    assert texts.compress_size < texts.file_size / 5
    assert numbers.compress_size == numbers.file_size > 8000
    with np.load(tmp_path / "t.npz", allow_pickle=False) as found:
        assert found["path"].tolist() == [path for path, _ in rows]


def test_npz_has_an_array_for_each_column(tmp_path, monkeypatch):
    monkeypatch.setattr("sightsound.formats.npz._NUMBERS", 20)
    count = write_npz(
        tmp_path / "t.npz", COLUMNS, [batch_of(COLUMNS, ROWS[:4]), batch_of(COLUMNS, ROWS[4:])], {"a": "b"}
    )
    with np.load(tmp_path / "t.npz", allow_pickle=False) as found:
        assert count == len(ROWS) and str(found["a"]) == "b"
        assert found["path"].tolist() == PATHS
        assert found["vector"].dtype == np.float32 and found["vector"].shape == (len(ROWS), 2)
        assert found["count"].tolist() == list(range(len(ROWS)))
        assert found["seconds"].dtype == np.float64
    assert [file.name for file in tmp_path.iterdir()] == ["t.npz"]


@pytest.mark.parametrize("name", ["t.txt", "t", "t.parquet.gz", "t.xlsx"])
def test_a_name_of_no_format_is_refused(tmp_path, name):
    with pytest.raises(SightsoundError, match="expected a name that ends in .csv, .json or .parquet"):
        writing.write_table(tmp_path / name, COLUMNS, [])
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_rows_come_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "t.csv").write_text("before")

    def broken():
        yield batch_of(COLUMNS, ROWS)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        writing.write_table(tmp_path / "t.csv", COLUMNS, broken())
    assert (tmp_path / "t.csv").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_without_pyarrow_the_error_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'pyarrow' else find(name, *more)\n"
        "from sightsound.formats.writing import write_table\n"
        "from sightsound import SightsoundError\n"
        "try: write_table(sys.argv[1], [], [])\n"
        "except SightsoundError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "t.parquet"], capture_output=True, text=True)
    assert done.stdout == "pyarrow is not installed; run `pip install sightsound[tables]`\n", done.stderr


def test_the_dictionary_describes_every_column():
    found = json.loads(dictionary(COLUMNS, {"space": "tiny"}))
    assert found["space"] == "tiny"
    assert [column["name"] for column in found["columns"]] == [column.name for column in COLUMNS]
    assert found["columns"][2] == {"name": "seconds", "type": "float64", "unit": "s", "meaning": "how long"}
    assert found["columns"][4]["type"] == "float32 x 2"


def test_texts_of_utf8_stay_as_they_are():
    assert utf8("käse \N{OWL}") == "käse \N{OWL}"
    assert utf8("a\ud800b") == "a\\ud800b"
    assert csv_cell("-") == "-"
