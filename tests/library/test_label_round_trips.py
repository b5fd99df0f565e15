"""Labels and time ranges that go out in a format and come in again are the same, or the command says which are not."""

from __future__ import annotations

import csv

import pytest

from library_files import labels_of, ranges_of
from made import write_image, write_sound
from sightsound import (
    Filter,
    Library,
    SightsoundError,
    TimeRange,
    export_labels,
    import_labels,
    import_rows,
    index,
    list_items,
    search,
    set_labels,
    write_sidecars,
)

SOUND = "dogs/0.wav"
ODD = ["owl; tawny", "owl;tawny", "a;", "; ", '"b"; c', '"d"', "=1+1", "-5", "'=x", "+1 call", " e", "f"]
"""Labels that a format which joins several, or guards formulas, might change."""


def add_ranges(where, tmp_path, *rows, columns="call"):
    (tmp_path / "ranges.csv").write_text("\n".join([f"path,start,stop,{columns}", *rows]) + "\n")
    import_labels(tmp_path / "ranges.csv", where, new_columns=True)


# -- tables of other commands --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_search_labels_whole_items(where, zoo, tmp_path, command, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    set_labels(where, zoo / SOUND, put={"species": "owl"})
    add_ranges(where, tmp_path, "dogs/1.wav,1,2,frog", columns="species")
    before = labels_of(where), ranges_of(where), ranges_of(where, "dogs/1.wav")
    for query in ("dogs/1.wav", "cats/1.png"):
        hits = tmp_path / f"hits.{ending}"
        assert command("search", zoo / query, "-l", where, "-o", hits).returncode == 0
        done = command("label", "--from", hits, "--column", "species", "-l", where)
        assert done.returncode == 0 and "of time ranges" not in done.stdout, done.stderr
        assert (labels_of(where), ranges_of(where), ranges_of(where, "dogs/1.wav")) == before


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_duplicates_labels_whole_items(where, tmp_path, command, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    add_ranges(where, tmp_path, f"{SOUND},0,1,maybe", columns="keep")
    table = tmp_path / f"same.{ending}"
    assert command("duplicates", "-l", where, "--threshold", "0.01", "-o", table).returncode == 0
    done = command("label", "--from", table, "--column", "keep", "-l", where)
    assert done.returncode == 0, done.stderr
    found = labels_of(where)
    assert {labels["keep"] for labels in found.values()} == {("yes",), ("no",)} and len(found) == 5
    assert ranges_of(where) == [TimeRange(0, 1, "keep", "maybe")]


def test_a_part_of_a_recording_that_is_a_duplicate_is_not_the_whole_recording(where, zoo, tmp_path, command):
    names = "path,group,keep,similarity,reason,start,stop,space,note"
    rows = [f"{zoo}/dogs/0.wav,1,no,0.9,x,0.5,1.5,s,", f"{zoo}/dogs/1.wav,2,yes,1,x,,,s,"]
    (tmp_path / "parts.csv").write_text("\n".join([names, *rows]) + "\n")
    done = command("label", "--from", tmp_path / "parts.csv", "--column", "keep", "-l", where)
    assert done.returncode == 1
    assert done.stderr == f"no item for row 1 of {zoo}/dogs/0.wav, which is about a part of it\n"
    assert labels_of(where)[SOUND] == {} and labels_of(where)["dogs/1.wav"] == {"keep": ("yes",)}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_export_labels_whole_items(where, zoo, tmp_path, command, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    set_labels(where, zoo, put={"species": ["owl", "tit"]})
    before = labels_of(where)
    rows = tmp_path / f"rows.{ending}"
    assert command("export", where, "--to", rows, "--space", "loudness.tiny").returncode == 0
    done = command("label", "--from", rows, "--column", "species", "-l", where)
    assert done.returncode == 0 and done.stdout == "4 labels of 2 items\n", done.stderr
    assert labels_of(where) == before and ranges_of(where) == []


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_tables_of_a_folder_for_hugging_face_label_whole_items(where, zoo, tmp_path, command, form):
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    set_labels(where, zoo, put={"species": ODD, "item": "x"})
    before = labels_of(where)
    words = ("export", where, "--to", tmp_path / "out", "--for", "huggingface", "--modality", "sound")
    assert command(*words, "--metadata", form).returncode == 0
    table = tmp_path / "out" / "train" / f"metadata.{form}"
    assert "got one of `export`" in command("label", "--from", table, "-l", where).stderr
    set_labels(where, zoo / "dogs", put={"species": "none", "item": "none"})
    done = command("label", "--from", table, "--column", "species", "--column", "item", "-l", where)
    assert done.returncode == 0 and labels_of(where) == before, done.stderr


def test_the_index_of_a_data_frame_is_no_label(where, tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    frame = pandas.DataFrame({"path": ["a", SOUND], "kind": ["x", "y"]})
    frame[frame.path == SOUND].to_parquet(tmp_path / "t.parquet")
    import_labels(tmp_path / "t.parquet", where)
    assert labels_of(where)[SOUND] == {"kind": ("y",)}


def test_a_column_that_a_table_of_search_has_under_another_name_comes_back(where, zoo, tmp_path, command):
    set_labels(where, zoo, put={"score": ["9", "x; y"]}, add={"tag": "calm"})
    before = labels_of(where)
    for words in (("list", "-l", where), ("search", zoo / SOUND, "-l", where), ("search", "--id", "1", "-l", where)):
        assert command(*words, "-o", tmp_path / "t.csv").returncode == 0
        assert import_labels(tmp_path / "t.csv", where, columns=["score", "tag"]).unmatched_count == 0
        assert labels_of(where) == before


def test_labels_that_are_named_as_the_columns_of_other_commands_are_labels(where, zoo, tmp_path):
    names = ("id", "file", "score", "content", "status", "group", "keep", "similarity", "item")
    set_labels(where, zoo, put=dict.fromkeys(names, "x"), new_columns=True)
    before = labels_of(where)
    export_labels(where, tmp_path / "t.csv")
    set_labels(where, zoo, put=dict.fromkeys(names, "y"))
    import_labels(tmp_path / "t.csv", where)
    assert labels_of(where) == before


def test_a_label_without_times_in_a_table_of_time_ranges_is_named(where, tmp_path, command):
    """It said that the recording has no ranges, and lost the label."""
    add_ranges(where, tmp_path, f"{SOUND},0,1,hoo")
    (tmp_path / "t.csv").write_text(f"path,start,stop,call\n{SOUND},,,owl\ndogs/1.wav,0,1,bark\n")
    done = command("label", "--from", tmp_path / "t.csv", "-l", where)
    assert done.returncode == 1
    assert done.stderr == f"no item for row 1 of {SOUND}, which has a label, and no start and stop\n"
    assert ranges_of(where) == [TimeRange(0, 1, "call", "hoo")]


# -- texts of labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["list", "search", "export"])
def test_odd_labels_come_back_from_the_tables_of_other_commands(where, zoo, tmp_path, command, name, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    for path, values in ((SOUND, ODD), ("dogs/1.wav", ["owl; tawny"])):
        set_labels(where, zoo / path, put={"kind": values})
    set_labels(where, zoo / SOUND, put={"=x": ["a; b"]})
    before, table = labels_of(where), tmp_path / f"t.{ending}"
    words = {
        "list": ("list", "-l", where, "-o", table),
        "search": ("search", "--id", "1", "-l", where, "-o", table),
        "export": ("export", where, "--space", "loudness.tiny", "--to", table),
    }[name]
    if name == "search":
        with Library(where) as library:
            words = ("search", "--vector", tmp_path / "v.npz", "-l", where, "-o", table)
            assert library.roots
        assert command("embed", zoo / "dogs", "-m", "loudness.tiny", "--out", tmp_path / "v.npz").returncode == 0
    assert command(*words).returncode == 0
    set_labels(where, zoo, put={"kind": "none", "=x": "none"})
    done = command("label", "--from", table, "--column", "kind", "--column", "=x", "-l", where)
    assert done.returncode == 0, done.stderr
    after = labels_of(where)
    assert {path: after[path] for path in (SOUND, "dogs/1.wav")} == {
        path: before[path] for path in (SOUND, "dogs/1.wav")
    }


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_odd_labels_come_back_with_imported_rows(where, zoo, tmp_path, ending, command):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    set_labels(where, zoo / "dogs", put={"kind": ODD})
    set_labels(where, zoo / "dogs/1.wav", put={"kind": "owl; tawny"})
    rows = tmp_path / f"rows.{ending}"
    assert command("export", where, "--space", "loudness.tiny", "--to", rows).returncode == 0
    import_rows(rows, tmp_path / "other", labels=["kind"])
    expected = labels_of(where)
    assert labels_of(tmp_path / "other") == {path: expected[path] for path in (SOUND, "dogs/1.wav")}


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_columns_that_a_file_of_rows_has_for_another_use_come_back(where, zoo, tmp_path, ending, command):
    """An archive had two arrays of one name, and the labels took the place of the paths."""
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    names = ("paths", "seconds", "embeddings", "space", "content", "note", "labels.x", "fact.y", "window.z", "label.a")
    set_labels(where, zoo / SOUND, put={name: f"of {name}" for name in names}, new_columns=True)
    expected = labels_of(where)
    assert command("export", where, "--space", "loudness.tiny", "--to", tmp_path / f"rows.{ending}").returncode == 0
    taken = [name if name == "label.a" else f"label.{name}" for name in names]
    import_rows(tmp_path / f"rows.{ending}", tmp_path / "other", labels=taken)
    assert labels_of(tmp_path / "other") == {path: expected[path] for path in (SOUND, "dogs/1.wav")}


def test_a_label_that_csv_cannot_hold_is_named_and_left_as_it_is(where, zoo, tmp_path, command):
    set_labels(where, zoo / SOUND, put={"kind": "a\tb"})
    set_labels(where, zoo / "dogs/1.wav", put={"kind": "c"})
    before = labels_of(where)
    assert command("list", "-l", where, "-o", tmp_path / "t.csv").returncode == 0
    done = command("label", "--from", tmp_path / "t.csv", "--column", "kind", "-l", where)
    assert "1 rows with labels that CSV has with escapes left out; take one in Parquet" in done.stderr
    assert labels_of(where) == before


def test_columns_that_begin_like_a_formula_come_back(where, zoo, tmp_path, command):
    columns = {"+mood": "calm", "=x": "y", "'-z": "w", "@a": "b"}
    set_labels(where, zoo / SOUND, put=columns)
    add_ranges(where, tmp_path, f"{SOUND},0,1,hoo", columns="+call")
    before = labels_of(where), ranges_of(where)
    for words in ((), ("--ranges",)):
        assert command("label", "--to", tmp_path / "t.csv", *words, "-l", where).returncode == 0
        with (tmp_path / "t.csv").open(newline="") as file:
            assert not any(name.startswith(tuple("=+-@")) for name in next(csv.reader(file)))
        done = command("label", "--from", tmp_path / "t.csv", "-l", where)
        assert done.returncode == 0, done.stderr
    assert (labels_of(where), ranges_of(where)) == before


def test_labels_with_an_apostrophe_come_back_from_a_selection_table(where, tmp_path):
    add_ranges(where, tmp_path, f"{SOUND},0,1,''=x", f"{SOUND},1,2,+hoo")
    assert [each.value for each in ranges_of(where)] == ["'=x", "+hoo"]
    export_labels(where, tmp_path / "r.txt", form="raven")
    import_labels(tmp_path / "r.txt", where)
    assert [each.value for each in ranges_of(where)] == ["'=x", "+hoo"]


@pytest.mark.parametrize("form", ["csv", "json", "raven", "audacity"])
def test_seconds_come_back_to_the_last_digit(where, zoo, tmp_path, form):
    seconds = [(1 / 3, 4 / 3), (0.1 + 0.2, 1.123456789123), (1e-9, 5e-7)]
    for start, stop in seconds:
        set_labels(where, zoo / SOUND, add={"call": "hoo"}, start=start, stop=stop)
    before = ranges_of(where)
    assert {(each.start, each.stop) for each in before} == set(seconds)
    file = tmp_path / f"t.{'txt' if form in ('raven', 'audacity') else form}"
    export_labels(where, file, form=form, ranges=True)
    import_labels(file, where, **({"recording": zoo / SOUND, "columns": ["call"]} if form == "audacity" else {}))
    assert [(each.start, each.stop) for each in ranges_of(where)] == [(each.start, each.stop) for each in before]


# -- selection tables of Raven -------------------------------------------------------------------------------------


def test_columns_of_the_library_come_back_from_a_selection_table_whatever_they_are_called(where, tmp_path, command):
    columns = "Type,Score,Rank,Confidence,call (A)"
    add_ranges(where, tmp_path, f"{SOUND},0,1,song,high,1,sure,x", columns=columns)
    before = [(each.column, each.value) for each in ranges_of(where)]
    assert len(before) == 5
    done = command("label", "--to", tmp_path / "r.txt", "--raven", "-l", where)
    assert done.returncode == 0, done.stderr
    assert command("label", "--from", tmp_path / "r.txt", "-l", where).returncode == 0
    assert [(each.column, each.value) for each in ranges_of(where)] == before


def test_columns_of_a_selection_table_that_are_not_read_are_named(where, zoo, tmp_path, command):
    names = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
    row = "1\tSpectrogram 1\t1\t0.5\t1.5\t0\t800"
    (tmp_path / "r.txt").write_text(f"{names}\tType\tPeak Freq (Hz)\tSpecies\n{row}\tsong\t440\towl\n")
    done = command("label", "--from", tmp_path / "r.txt", "--for", zoo / SOUND, "-l", where)
    assert done.returncode == 0 and done.stdout == "1 label of time ranges of 1 item\n"
    assert done.stderr == (
        "columns that are not read as labels: Type, Peak Freq (Hz); name those that are with `label --column`\n"
    )
    done = command("label", "--from", tmp_path / "r.txt", "--for", zoo / SOUND, "-l", where, "--column", "Type")
    assert done.returncode == 0 and done.stderr == ""
    assert [(each.column, each.value) for each in ranges_of(where)] == [("Species", "owl"), ("Type", "song")]


def test_columns_that_a_selection_table_cannot_have_are_named(where, zoo, tmp_path, command):
    set_labels(where, zoo / SOUND, put={"View": "near", "Begin File": "x", "a\tb": "x", "call": "hoo"}, start=0, stop=1)
    done = command("label", "--to", tmp_path / "r.txt", "--raven", "-l", where)
    assert done.returncode == 0
    for name in ("'Begin File'", "'View'", r"'a\tb'"):
        assert f"column {name} left out, which a selection table" in done.stderr
    before = ranges_of(where)
    assert command("label", "--from", tmp_path / "r.txt", "-l", where).returncode == 0
    assert {(each.column, each.value) for each in ranges_of(where)} == {(each.column, each.value) for each in before}


def test_a_selection_table_says_which_ranges_got_a_band_or_a_channel(where, tmp_path, command):
    add_ranges(
        where, tmp_path, f"{SOUND},0,1,,,,hoo", f"{SOUND},1,2,100,200,0,hum", columns="low_hz,high_hz,channel,call"
    )
    done = command("label", "--to", tmp_path / "r.txt", "--raven", "-l", where)
    assert done.stderr == (
        "1 time ranges without a band or a channel have that of the recording and the first one, which Raven needs; "
        "a CSV leaves them out\n"
    )


# -- index --label-from --------------------------------------------------------------------------------------------


@pytest.fixture
def add(zoo, where, command, tmp_path):
    """`index` with a table of labels of a text, again."""

    def add(text, *folders):
        (tmp_path / "t.csv").write_text(text)
        words = ("-m", "colours.tiny", "-m", "loudness.tiny", "--label-from", tmp_path / "t.csv")
        return command("index", *(folders or [zoo]), "-l", where, *words)

    return add


def test_index_refuses_a_misspelt_column_before_it_reads_a_file(where, zoo, add):
    set_labels(where, zoo / SOUND, put={"species": "owl"})
    write_image(zoo / "cats" / "new.png", 9)
    done = add("path,speices\ncats/new.png,cat\n")
    assert (
        done.returncode == 2
        and "column 'speices': expected one of the library's, did you mean 'species'?" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1 and "cats/new.png" not in labels_of(where)


def test_index_does_not_choose_among_files_of_one_path(where, zoo, add, tmp_path):
    write_image(tmp_path / "other" / "cats" / "0.png", 77)
    done = add("path,who\ncats/0.png,Tom\ncats/1.png,Tim\n", zoo, tmp_path / "other")
    assert done.returncode == 1
    assert done.stderr == "no item for cats/0.png: 2 files of this path; say which in a column 'root'\n"
    with Library(where) as library:
        assert [library.labels(each.id) for each in library.items() if each.path == "cats/0.png"] == [{}, {}]


def test_index_tells_of_its_table_what_label_tells(where, zoo, add, tmp_path, command):
    rows = [
        "dogs/0.wav,99,100,,late",
        "cats/0.png,0,1,,x",
        "dogs/0.wav,0,1,,",
        "dogs/0.wav,0,1,7,y",
        "dogs/9.wav,0,1,,z",
    ]
    done = add("\n".join(["path,start,stop,channel,who", *rows]) + "\n")
    again = command("label", "--from", tmp_path / "t.csv", "-l", where)
    assert done.returncode == again.returncode == 1 and done.stderr == again.stderr
    assert done.stderr.splitlines() == [
        "no item for row 1 of dogs/0.wav, which starts at 99 s, after its end at 2 s",
        "no item for cats/0.png: an image, expected a recording",
        "no item for dogs/9.wav",
        "1 time ranges without a label left out",
        "1 time ranges are of a channel that their recording does not have, the first: "
        "row 4 of dogs/0.wav: channel 7, counted from 0, of 1",
    ]
    assert again.stdout in done.stdout


# -- columns in filters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [("--unlabelled", "lable"), ("--labelled", "lable"), ("--label", "lable=b")],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("name", ["tag", "list", "label", "export"])
def test_a_misspelt_column_in_a_filter_is_an_error(where, zoo, tmp_path, command, name, words):
    set_labels(where, zoo, put={"label": "b"})
    given = {
        "tag": ("tag", "-l", where),
        "list": ("list", "-l", where),
        "label": ("label", "-l", where, "--set", "label=c"),
        "export": ("export", where, "--space", "loudness.tiny", "--to", tmp_path / "r.csv"),
    }[name]
    done = command(*given, *words)
    assert done.returncode == 2 and "did you mean 'label'?" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert {labels["label"] for labels in labels_of(where).values()} == {("b",)}


@pytest.mark.parametrize("given", [{"unlabelled": ("lable",)}, {"labelled": ("lable",)}, {"labels": ("lable=b",)}])
def test_no_function_takes_a_filter_with_a_misspelt_column(where, zoo, tiny, given):
    set_labels(where, zoo, put={"label": "b"})
    asked = Filter(**given)
    for call in (
        lambda: set_labels(where, where=asked, put={"label": "c"}),
        lambda: set_labels(where, zoo, where=asked, put={"label": "c"}),
        lambda: list(list_items(where, where=asked)),
        lambda: search(zoo / SOUND, where, host=tiny, where=asked),
    ):
        with pytest.raises(SightsoundError, match="column 'lable': expected one of .*; did you mean 'label'"):
            call()
    assert {labels["label"] for labels in labels_of(where).values()} == {("b",)}


def test_a_column_that_one_of_several_libraries_has_may_be_asked_for_in_all(where, zoo, tiny, tmp_path, command):
    write_sound(tmp_path / "more" / "m.wav", 5)
    index(tmp_path / "more", tmp_path / "second", models=["loudness.tiny"], host=tiny)
    set_labels(where, zoo / "dogs/1.wav", put={"kind": "owl"})
    both = ("-l", tmp_path / "second", "-l", where)
    done = command("search", zoo / SOUND, *both, "--label", "kind=owl", "--csv")
    assert done.returncode == 0 and [row["path"] for row in csv.DictReader(done.stdout.splitlines())] == ["dogs/1.wav"]
    done = command("search", zoo / SOUND, *both, "--label", "knid=owl")
    assert done.returncode == 2 and "did you mean 'kind'?" in done.stderr
    found = search(zoo / SOUND, [tmp_path / "second", where], host=tiny, where=Filter(labels=("kind=owl",)))
    assert [hit.item.path for hit in found] == ["dogs/1.wav"]
    with pytest.raises(SightsoundError, match="did you mean 'kind'"):
        search(zoo / SOUND, [tmp_path / "second", where], host=tiny, where=Filter(labels=("knid=owl",)))


# -- sidecar files -------------------------------------------------------------------------------------------------


def test_labels_that_keywords_cannot_be_are_told(where, zoo, command):
    set_labels(where, zoo / "cats/0.png", put={"mood": ["a  b", "\t", "calm; wet"]})
    done = command("facts", "-l", where, "--write-xmp", "mood")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "2 labels written without control characters and spaces that keywords cannot have\n"
    assert "calm; wet" in (zoo / "cats" / "0.png.xmp").read_text()
    assert write_sidecars(where, "mood").unchanged == 1
