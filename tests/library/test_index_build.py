"""Approximate indexes: recall against brute force, what is new, removed or filtered, and files that are not ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sightsound
from library_files import raw_database
from sightsound import (
    Filter,
    Item,
    Library,
    LibraryError,
    Session,
    SightsoundError,
    build_index,
    check,
    compact,
    copy_library,
    forget_space,
    stats,
)
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library import vector_search
from sightsound.library.approximate import kinds, list_files, measuring, opened
from sightsound.library.query_types import QueryVectors
from sightsound.library.store import segments, user_key

DIM = 24
SPACE = Space("net.made", json.dumps({"dim": DIM, "modality": "image", "stages": []}))
KINDS = ("hnsw", "ivf", "ivf-sq8", "ivf-pq")


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Small indexes, several segments and files of lists, and a key of the test's own."""
    monkeypatch.setenv("SIGHTSOUND_THREADS", "1")
    monkeypatch.setattr(measuring, "HELD_OUT", 15)
    monkeypatch.setattr(vector_search, "FEW_ROWS", 30)
    monkeypatch.setattr(segments, "MAX_BYTES", 4 * DIM * 1200)
    monkeypatch.setattr(list_files, "GATHERED_BYTES", 30_000)
    monkeypatch.setattr(user_key, "key_file", lambda: tmp_path / "data" / "index.key")


@pytest.fixture
def reads(monkeypatch):
    """The files that FAISS was given to read."""
    import faiss

    found, read = [], faiss.read_index
    monkeypatch.setattr(faiss, "read_index", lambda *words: (found.append(words[0]), read(*words))[1])
    return found


def clustered(count, seed=0):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, DIM))
    return (centres[random.integers(0, 40, count)] + 0.5 * random.normal(size=(count, DIM))).astype(np.float32)


def add(library, vectors, first=0, windows=1):
    """Contents of some vectors each, by the number in their paths; every fourth one has a label."""
    with library.writing() as writer:
        space = writer.space_id(SPACE)
        for number in range(len(vectors) // windows):
            item = Item("/made", f"{first + number}")
            hash_ = hashlib.sha256(item.path.encode()).digest()
            writer.items.record(item, (0, 0), hash_, "image")
            mine = vectors[number * windows : (number + 1) * windows]
            spans = np.stack([np.arange(len(mine)), np.arange(len(mine)) + 1.0], axis=1)
            writer.add_rows(Rows(item, spans, mine), space)
            writer.outcomes.record(Outcome(item, "ok", facts={"of": (first + number) % 4}), space)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MAX_BYTES", 4 * DIM * 1200)
        with Library(tmp_path_factory.mktemp("made") / "lib", create=True) as library:
            add(library, clustered(3000))
    return library.path


@pytest.fixture
def where(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "lib"))


def found(library, query, k=10, **how):
    return [(int(hit.item.path), hit.score) for hit in library.search({SPACE: np.atleast_2d(query)}, k, **how)]


def paths(library, query, k=10, **how):
    return [path for path, _ in found(library, query, k, **how)]


def recall(library, queries, k=10, **how):
    shares = []
    for query in queries:
        exact, mine = (set(paths(library, query, k, exact=e, **how)) for e in (True, False))
        assert library.approximated and len(mine) == len(exact)
        shares.append(len(mine & exact) / len(exact))
    return np.mean(shares)


def index_of(where):
    (file,) = where.glob("library.*.index")
    return file


# -- what is found -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pytest.param(each, marks=[pytest.mark.slow] * (each != "hnsw")) for each in KINDS])
def test_recall_is_as_stated_and_scores_are_exact(where, kind, reads, monkeypatch):
    monkeypatch.setattr(measuring, "HELD_OUT", 60)
    with Library(where) as library:
        facts = build_index(library, kind=kind)[SPACE]
        assert (facts.kind, facts.rows, facts.usable) == (kind, 3000, True) and facts == library.indexes()[SPACE]
        assert facts.bytes == index_of(where).stat().st_size
        assert facts.recall["10"] >= 0.88 and facts.recall["10 filtered"] >= 0.88, "stated with other queries"
        queries, rows = clustered(25, seed=7), clustered(3000)
        assert recall(library, queries) == pytest.approx(facts.recall["10"], abs=0.08)
        assert recall(library, queries, 100) == pytest.approx(facts.recall["100"], abs=0.06)
        assert recall(library, queries, where=Filter(facts=("of=3",))) > 0.9
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for number, score in found(library, queries[0]):
            assert score == pytest.approx(rows[number] @ queries[0] / np.linalg.norm(queries[0]), abs=1e-6)
        assert len(reads) == 2, "once to measure it, once to search"
        assert check(where) == []


def test_the_least_effort_is_taken_that_is_good_enough(where, monkeypatch):
    monkeypatch.setattr(measuring, "HELD_OUT", 60)
    with Library(where) as library:
        facts = build_index(library, kind="ivf")[SPACE]
        most = kinds.list_count(3000)
        assert 2 <= facts.parameters["nprobe"] < most == 64, "not all lists"
        rows = library.mapped_rows(SPACE)[2]
        index = library._vector_search._indexes
        with library._reader.reading(SPACE) as (space_id, mapped):
            usable = index.usable(space_id, mapped)
            measurement = measuring.Measurement(rows, usable.index)
            condition = measurement._conditions[""]
            assert measurement._recall(condition, facts.parameters["nprobe"] // 2, 10, measuring._CHOOSING) < 0.95
            assert measurement._recall(condition, facts.parameters["nprobe"], 10, measuring._CHOOSING) >= 0.95
            stated = measurement._recall(condition, facts.parameters["nprobe"], 10, measuring._STATING)
            assert stated == facts.recall["10"] and measurement._recall(condition, most, 10, slice(None)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_new_rows_are_found_and_removed_ones_are_not(where, kind):
    queries = clustered(20, seed=3)
    with Library(where) as library:
        build_index(library, kind=kind)
        add(library, queries, first=5000)  # fills a segment of the index, and others
        for number, query in enumerate(queries):
            (first, score), *_ = found(library, query)
            assert (first, round(score, 5)) == (5000 + number, 1) and library.approximated
        rows = clustered(3000)
        for number in (0, 5, 700, 2999):
            best = found(library, rows[number])
            assert best[0] == (number, pytest.approx(1))
            gone = {path for path, _ in best}
            with library.writing() as writer:
                writer.forget([item.id for item in library.items() if int(item.path) in gone])
            rest = paths(library, rows[number])
            assert len(rest) == 10 and not gone & set(rest) and library.approximated
        assert check(where) == []


def test_contents_of_many_windows_are_counted_once(tmp_path):
    random = np.random.default_rng(0)
    with Library(tmp_path / "lib", create=True) as library:
        centres = random.normal(size=(60, 1, DIM))
        vectors = (centres + 0.1 * random.normal(size=(60, 50, DIM))).reshape(3000, DIM).astype(np.float32)
        add(library, vectors, windows=50)
        build_index(library, kind="hnsw")
        mine = found(library, vectors[[5, 60]], 10)
        assert library.approximated and len({path for path, _ in mine}) == 10
        assert mine[0][0] in (0, 1) and mine[1][0] in (0, 1)
        exact = found(library, vectors[[5, 60]], 10, exact=True)
        assert mine[:2] == [(path, pytest.approx(score)) for path, score in exact[:2]]
        assert found(library, vectors[:1], 60) == found(library, vectors[:1], 60, exact=True), "all that there are"


def test_the_content_of_the_query_and_few_contents_of_a_filter(where):
    with Library(where) as library:
        build_index(library, kind="ivf-sq8")
        rows = clustered(3000)
        hash_ = hashlib.sha256(b"17").digest()
        assert paths(library, rows[17])[0] == 17 and 17 not in paths(library, rows[17], leave_out=hash_)
        assert library.approximated
        few = Filter(paths=("1?",))
        assert paths(library, rows[17], where=few) == paths(library, rows[17], where=few, exact=True)
        assert not library.approximated, "so few are searched exactly"


def test_what_is_searched_exactly_in_any_case(where):
    rows = clustered(3000)
    with Library(where) as library:
        build_index(library, kind="ivf-sq8")
        for k, queries, how in (
            (10, rows[:1], {"exact": True}),
            (10, rows[:65], {}),
            (1001, rows[:1], {}),
            (10, rows[:1], {"per": "window"}),
        ):
            library.search_many([QueryVectors({SPACE: queries})], k, **how)
            assert not library.approximated, how
        library.search({SPACE: rows[:64]})
        assert library.approximated
        many = [QueryVectors({SPACE: row[None]}) for row in rows[:150]]
        together = library.search_many(many, 10)
        assert library.approximated
        assert [hits[0].item.path for hits in together] == [str(number) for number in range(150)]


def test_equal_rows_and_rows_of_zeros(tmp_path):
    with Library(tmp_path / "lib", create=True) as library:
        vectors = clustered(1000)
        vectors[::2] = 0
        vectors[1::2] = vectors[1]
        add(library, vectors)
        for kind in KINDS:
            build_index(library, kind=kind)
            assert [score for _, score in found(library, vectors[1])] == [pytest.approx(1)] * 10
            assert [score for _, score in found(library, np.ones(DIM), 3)] == [
                pytest.approx(score) for _, score in found(library, np.ones(DIM), 3, exact=True)
            ]


# -- which kind --------------------------------------------------------------------------------------------------


def test_auto_chooses_by_rows_and_memory(where):
    gigabyte = 10**9
    names = [
        kinds.choose("auto", rows, dim, memory)
        for rows, dim, memory in (
            (49_999, 1024, 64 * gigabyte),
            (50_000, 1024, 16 * gigabyte),
            (200_000, 1024, gigabyte),
            (200_001, 1024, 16 * gigabyte),
            (5_000_000, 1024, 24 * gigabyte),
            (5_000_000, 1024, 8 * gigabyte),
            (5_000_000, 1021, 8 * gigabyte),
        )
    ]
    expected = [None, "hnsw", "ivf-sq8", "ivf-sq8", "ivf-sq8", "ivf-pq", "ivf-sq8"]
    assert [kind and kind.name for kind in names] == expected
    assert build_index(where) == {SPACE: None} and not list(where.glob("*.index"))
    with pytest.raises(SightsoundError, match="hnsw: 5,000,000 rows need 6.5 GB of memory; use ivf-sq8"):
        kinds.choose("hnsw", 5_000_000, 1024, 8 * gigabyte)
    with pytest.raises(SightsoundError, match="kind: expected auto, hnsw, ivf, ivf-sq8, ivf-pq, got 'flat'"):
        build_index(where, kind="flat")
    with pytest.raises(SightsoundError, match="ivf-pq: expected at least 256 rows of an even length, got 9 of 24"):
        kinds.choose("ivf-pq", 9, 24, gigabyte)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 30, 256])
def test_small_spaces_have_indexes_too(tmp_path, kind, count):
    with Library(tmp_path / "lib", create=True) as library:
        add(library, clustered(count))
        if kind == "ivf-pq" and count < 256:
            with pytest.raises(SightsoundError, match="ivf-pq: expected at least 256 rows"):
                build_index(library, kind=kind)
            return
        build_index(library, kind=kind)
        query = clustered(1, seed=5)
        assert found(library, query, 300) == found(library, query, 300, exact=True)


# -- files that are not ours -------------------------------------------------------------------------------------


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    with file.open("r+b") as opened_:
        opened_.write(data)


def flip_and_hide(file):
    """In place, with the times of before."""
    before = file.stat()
    time.sleep(0.02)
    flip(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_copy(file):
    before = file.stat()
    shutil.copy2(file, file.with_name("copy"))
    os.replace(file.with_name("copy"), file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def link(file):
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def pipe(file):
    file.unlink()
    os.mkfifo(file)


def swap(file):
    """A sound index of this user, of other rows."""
    with Library(file.parent.parent / "other", create=True) as other:
        add(other, clustered(1000, seed=4))
        build_index(other, kind="ivf-sq8")
    os.replace(index_of(file.parent.parent / "other"), file)


def change_row(column, value):
    def change(file):
        with raw_database(file.parent) as db:
            db.execute(f"UPDATE indexes SET {column} = {value}")

    change.__name__ = f"{column} {value}"
    return change


def cut(file):
    os.truncate(file, 1000)


def emptied(file):
    os.truncate(file, 0)


def no_key(file):
    user_key.key_file().unlink()


def another_key(file):
    user_key.key_file().write_bytes(b"0" * 32)


def public_key(file):
    user_key.key_file().chmod(0o644)


DAMAGE = [
    flip,
    flip_and_hide,
    replace_by_copy,
    link,
    pipe,
    swap,
    cut,
    emptied,
    Path.unlink,
    change_row("signature", "zeroblob(32)"),
    change_row("signature", "'text'"),
    change_row("kind", "'hnsw'"),
    change_row("kind", "7"),
    change_row("report", "replace(report, '9', '8') || ' '"),
    change_row("stamp", "replace(stamp, '1200', '1199')"),
    change_row("name", "'../../elsewhere'"),
    change_row("name", "X'00ff'"),
    no_key,
    another_key,
    public_key,
]


@pytest.mark.parametrize("again", [False, True], ids=["opened anew", "open"])
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_file_that_is_not_as_it_was_written_is_never_read(where, damage, again, reads, caplog):
    query = clustered(1, seed=11)
    build_index(where, kind="ivf-sq8")
    with Library(where) as library:
        exact = found(library, query, exact=True)
        if again:
            assert found(library, query) and library.approximated
        damage(index_of(where))
        reads.clear()
        caplog.clear()
        if again and damage not in (no_key, another_key, public_key):  # what is open stays so without the key
            assert found(library, query) == exact and not library.approximated
    with Library(where) as library:
        assert found(library, query) == exact and not library.approximated
        assert found(library, query) == exact
        text = (
            "its index of net.made was not built here by you, or has changed, and is not used; `sightsound index-build`"
        )
        assert text in caplog.text
    assert not reads
    assert check(where) == []


@pytest.mark.parametrize(
    "report", ["{}", "[]", "x", '{"recall": {}, "parameters": {}}', '{"recall": {"10": "\\u001b"}}']
)
def test_odd_values_of_somebody_else_are_damage_in_one_line(where, report, command):
    build_index(where, kind="ivf")
    with raw_database(where) as db:
        db.execute("UPDATE indexes SET report = ?", (report,))
    done = command("stats", "-l", where)
    assert done.returncode == 2 and "damaged" in done.stderr and len(done.stderr.splitlines()) == 1
    with Library(where) as library:
        assert found(library, clustered(1)) and not library.approximated


def test_an_index_of_somebody_else_is_not_read(where, reads, monkeypatch, tmp_path):
    build_index(where, kind="ivf-sq8")
    monkeypatch.setattr(user_key, "key_file", lambda: tmp_path / "another" / "index.key")
    reads.clear()
    with Library(where) as library:
        assert not library.indexes()[SPACE].usable
        assert paths(library, clustered(1)[0]) == paths(library, clustered(1)[0], exact=True)
    assert not reads
    build_index(where, kind="ivf-sq8")
    with Library(where) as library:
        assert library.indexes()[SPACE].usable and paths(library, clustered(1)[0]) and library.approximated


def test_the_key_is_of_this_user_alone_and_not_in_the_library(where, tmp_path):
    build_index(where, kind="ivf")
    file = tmp_path / "data" / "index.key"
    assert file.stat().st_mode & 0o777 == 0o600 and file.stat().st_size == 32
    assert [path.name for path in file.parent.iterdir()] == ["index.key"]
    assert not any(file.read_bytes() in path.read_bytes() for path in where.iterdir())
    key = file.read_bytes()
    build_index(where, kind="ivf")
    assert file.read_bytes() == key
    file.chmod(0o666)
    with pytest.raises(LibraryError, match="expected 32 bytes that only you can read"):
        build_index(where, kind="ivf")


# -- upkeep ------------------------------------------------------------------------------------------------------


def test_an_index_that_does_not_fit_any_more_is_dropped(where):
    with Library(where) as library:
        build_index(library, kind="ivf-sq8")
        first = index_of(where)
        build_index(library, kind="ivf")
        assert index_of(where) != first, "one takes the place of the other"
        assert index_of(where).stat().st_size < stats(where).bytes
        compact(where)
        assert index_of(where), "nothing was removed"
        with library.writing() as writer:
            writer.forget([5])
        assert found(library, clustered(1)) and library.approximated
        compact(where)
        assert not list(where.glob("library.*.index")) and library.indexes() == {}
        assert found(library, clustered(1)) and not library.approximated
        build_index(library, kind="ivf")
        forget_space("net.made", where)
        assert not list(where.glob("library.*.index")) and check(where) == []


def test_a_copy_has_no_index_and_a_copied_folder_an_unused_one(where, tmp_path, reads):
    build_index(where, kind="ivf-sq8")
    copy_library(where, tmp_path / "second")
    shutil.copytree(where, tmp_path / "third")
    reads.clear()
    with Library(tmp_path / "second") as second, Library(tmp_path / "third") as third:
        assert second.indexes() == {} and not list((tmp_path / "second").glob("*.index"))
        assert not third.indexes()[SPACE].usable
        assert found(second, clustered(1)) == found(third, clustered(1)) and not third.approximated
        assert check(tmp_path / "second") == check(tmp_path / "third") == [] == reads
        build_index(third, kind="ivf-sq8")
        assert found(third, clustered(1)) and third.approximated
    with Library(where) as library:
        assert found(library, clustered(1)) and library.approximated


def test_check_finds_an_index_whose_content_is_not_what_was_signed(where, monkeypatch):
    build_index(where, kind="ivf-sq8")
    with raw_database(where) as db:
        (stamp,) = db.execute("SELECT stamp FROM indexes").fetchone()
        other = json.dumps({**json.loads(stamp), "digest": "0" * 64})
        key = user_key.user_key()
        from sightsound.library.store.index_files import StoredIndex

        row = list(db.execute("SELECT space, name, kind, stamp, report FROM indexes").fetchone())
        row[3] = other
        with index_of(where).open("rb") as file:
            signed = StoredIndex(*row).signed(key, file.fileno())
        db.execute("UPDATE indexes SET stamp = ?, signature = ?", (other, signed.signature))
    assert [str(problem) for problem in check(where)] == [
        "the index of net.made has changed; run `sightsound index-build`"
    ]


KILLED = """
import sys
from pathlib import Path
from sightsound import build_index
from sightsound.library.approximate import list_files, measuring
from sightsound.library.store import user_key
user_key.key_file = lambda: Path(sys.argv[2])
list_files.GATHERED_BYTES = 30_000
print("begins", flush=True)
build_index(sys.argv[1], kind="ivf-sq8", progress=False)
"""


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_a_sound_library(where, tmp_path):
    words = [sys.executable, "-c", KILLED, where, tmp_path / "data" / "index.key"]
    before, states = sorted(where.glob("library.*")), set()
    for delay in np.linspace(0.3, 2.0, 5):
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert running.stdout.readline() == b"begins\n"
        time.sleep(delay)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=20)
        states.add(any(path.suffix == ".part" for path in where.iterdir()))
        assert check(where) == []
        with Library(where) as library:
            assert found(library, clustered(1), exact=True)
            with library.writing():
                pass
        left = [
            path for path in where.glob("library.*") if path.suffix not in (".index",) and "sqlite" not in path.name
        ]
        assert left == [path for path in left if path in before]
        with raw_database(where) as db:
            assert len(list(where.glob("*.index"))) == db.execute("SELECT count(*) FROM indexes").fetchone()[0]
    assert True in states, "none was killed while it wrote"


def test_a_file_that_the_database_does_not_know_is_deleted_by_the_next_writer(where):
    orphan = where / "library.0123456789abcdef.index"
    orphan.write_bytes(b"x")
    build_index(where, kind="ivf")
    assert not orphan.exists() and index_of(where)


def test_a_build_that_fails_keeps_the_index_there_was(where, monkeypatch):
    build_index(where, kind="ivf")
    before = index_of(where), index_of(where).read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(list_files.ListFiles, "write", fail)
    with pytest.raises(LibraryError, match="lib: the index cannot be written .*; free some space"):
        build_index(where, kind="ivf-sq8")
    monkeypatch.undo()
    assert (index_of(where), index_of(where).read_bytes()) == before
    assert not list(where.glob("*.part"))


def test_while_another_process_writes_none_is_built(where):
    with Library(where) as library, library.writing(), pytest.raises(LibraryError, match="is writing to it"):
        build_index(where, kind="ivf")


def test_damaged_rows_are_refused(where):
    with Library(where) as library:
        assert found(library, clustered(1)), "which also verifies the copy"
    file = max(where.glob("library.*.f32"), key=lambda path: path.stat().st_size)
    rows = np.memmap(file, np.float32, "r+")
    rows[1000] = np.nan
    rows.flush()
    with pytest.raises(LibraryError, match="damaged .a vector is not finite"):
        build_index(where, kind="ivf")
    assert not list(where.glob("*.index"))


def test_a_session_uses_the_index(where):
    with Session(where) as session:
        build_index(session.library, kind="ivf-sq8")
        assert session.library.indexes()[SPACE].usable
        assert session.library.search({SPACE: clustered(1)}) and session.library.approximated
        assert sightsound.stats(session.library).indexes["net.made"].rows == 3000


# -- the command line --------------------------------------------------------------------------------------------


def test_the_command_builds_shows_and_overrules(where, command, tmp_path):
    np.save(tmp_path / "query.npy", clustered(1, seed=9))
    few = command("index-build", "-l", where)
    assert few.stdout == "net.made: 3000 vectors, which exact search finds fast; no index was built\n"
    done = command("index-build", "-l", where, "--kind", "ivf-sq8", "-m", "net.made")
    assert done.returncode == 0 and done.stdout.startswith("net.made: ivf-sq8 of 3000 vectors, ")
    (facts,) = json.loads(command("stats", "-l", where, "--json").stdout)["indexes"].values()
    assert facts["kind"] == "ivf-sq8" and facts["usable"] and f"nprobe {facts['parameters']['nprobe']}" in done.stdout
    table = command("stats", "-l", where).stdout
    assert "index of" in table and f"{facts['recall']['10']:.3f}" in table
    words = ("search", "--vector", tmp_path / "query.npy", "-l", where, "-m", "net.made")
    answer = search(words, command)
    line = f"approximate (ivf-sq8): recall@10 {facts['recall']['10']:.2f}; --exact searches all\n"
    assert answer.stderr == line
    filtered = search((*words, "--fact", "of=1"), command).stderr
    assert filtered == line.replace(
        f"{facts['recall']['10']:.2f}", f"{facts['recall']['10 filtered']:.2f} under a filter"
    )
    exact = search((*words, "--exact"), command)
    assert exact.stderr == "" and len(exact.stdout.splitlines()) == len(answer.stdout.splitlines()) == 11
    wrong = command("index-build", "-l", where, "-m", "other")
    assert wrong.returncode == 2 and "space 'other': expected the name of a space" in wrong.stderr
    flip(index_of(where))
    noted = search(words, command)
    assert "its index of net.made was not built here by you, or has changed, and is not used" in noted.stderr
    assert noted.stdout == exact.stdout
    assert "not used: build it anew" in command("stats", "-l", where).stdout


def search(words, command):
    done = command(*[word for word in words if word not in ("-m", "net.made")])
    assert done.returncode == 0, done.stderr
    return done


# -- formats -----------------------------------------------------------------------------------------------------


def test_the_table_is_in_the_present_format(where):
    with sqlite3.connect(where / "library.sqlite") as db:
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(indexes)")]
    assert columns == ["space", "name", "kind", "stamp", "report", "signature"]


@pytest.mark.parametrize("kind", ["ivf", "ivf-sq8", "ivf-pq"])
def test_the_lists_in_files_are_those_that_faiss_would_write(tmp_path, kind, monkeypatch):
    """Opened by FAISS, the same lists in the same order as of an index in memory."""
    import faiss

    monkeypatch.setattr(list_files, "GATHERED_BYTES", 10_000)
    rows = clustered(2000)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    whole = kinds.trained(kinds.KINDS[kind], rows, len(rows))
    with list_files.ListFiles(whole, tmp_path) as lists, (tmp_path / "mine").open("wb") as file:
        for first in range(0, 2000, 100):
            lists.add(rows[first : first + 100], np.arange(first, first + 100))
        assert len(lists._parts) > 1
        lists.write(file)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    whole.add_with_ids(rows, np.arange(2000))
    faiss.write_index(whole, str(tmp_path / "theirs"))
    assert (tmp_path / "mine").read_bytes() == (tmp_path / "theirs").read_bytes()
    stamp = opened.Stamp("", 0, ((1, "a", 2000),))
    mine = opened.OpenIndex(str(tmp_path / "mine"), kinds.KINDS[kind], stamp)
    assert (mine.ask(rows[:50], 1, mine.most, None)[:, 0] == np.arange(50)).mean() > 0.9
