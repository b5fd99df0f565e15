"""Indexing: files that are new, known, changed, copied, renamed or damaged, and what is reported of them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from made import ordinary_user, register_tints, register_variant, start_command, write_image, write_sound
from sightsound import Gone, Library, SightsoundError, TimeRange, hookimpl, index, search
from sightsound.contract.errors import MediaError
from sightsound.library import gone
from sightsound.library.check import check
from sightsound.library.store import database, renamed
from sightsound.library.store.renamed import is_missing
from sightsound.library.store.transaction import Transaction

MODELS = ("colours.tiny", "loudness.tiny")
UNDECODED = pytest.mark.skipif(sys.platform == "darwin", reason="the file system takes UTF-8 names only")


class DecodeCounter:
    """A stage plugin that counts what is decoded."""

    same_numbers = True

    def __init__(self):
        self.decoded = 0

    @hookimpl(wrapper=True)
    def preprocess(self, embedder, media, start, last):
        self.decoded += 1
        return (yield)


@pytest.fixture
def add(tiny, tmp_path):
    """Indexes paths into tmp_path/lib with both tiny models; returns the report."""

    def run(*paths, models=MODELS, **options):
        return index(paths, tmp_path / "lib", models=models, host=tiny, **options)

    return run


@pytest.fixture
def library(tmp_path):
    """Opens tmp_path/lib."""

    @contextlib.contextmanager
    def opened():
        with Library(tmp_path / "lib") as found:
            yield found
            assert check(found) == []

    return opened


def by_path(library):
    return {item.path: item for item in library.items()}


def statuses(library):
    return {(outcome.item.path, space): outcome.status for outcome, space in library.outcomes()}


def vectors(library):
    return sum(library.spaces.values())


def older(path, seconds=10):
    """Sets a file's time back, so that the next change cannot have the same."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - seconds * 10**9))
    return path


# -- the first run -----------------------------------------------------------------------------------------------


def test_pictures_and_sounds_go_to_their_models_in_one_library(add, library, zoo, tiny):
    report = add(zoo)
    assert report.counts == {"ok": 5} and report.failed == []
    assert report.windows == 3 + 2 * 3
    with library() as found:
        assert statuses(found) == {
            **{(f"cats/{i}.png", "colours.tiny"): "ok" for i in range(3)},
            **{(f"dogs/{i}.wav", "loudness.tiny"): "ok" for i in range(2)},
        }
        assert {space.name: count for space, count in found.spaces.items()} == {"colours.tiny": 3, "loudness.tiny": 6}


def test_stored_vectors_are_those_of_the_network(add, library, zoo, tiny):
    add(zoo)
    from sightsound import media

    with library() as found:
        items = by_path(found)
        rows, spans = found.vectors(tiny.space("loudness.tiny"), found.content(items["dogs/1.wav"].id))
        expected = tiny.load("loudness.tiny").rows(media.read_sound(zoo / "dogs/1.wav", 1600))
        np.testing.assert_allclose(rows, expected[1], rtol=1.2e-7)
        np.testing.assert_array_equal(spans, expected[0])
        rows, spans = found.vectors(tiny.space("colours.tiny"), found.content(items["cats/1.png"].id))
        assert spans is None
        expected = tiny.load("colours.tiny").rows(media.read_image(zoo / "cats/1.png").pixels)[1]
        np.testing.assert_allclose(rows, expected, rtol=1.2e-7)


def test_every_network_that_is_named_gets_every_file_of_its_modality(add, library, zoo, tiny):
    report = add(zoo, models=(*MODELS, register_tints(tiny)))
    assert report.counts == {"ok": 8}
    with library() as found:
        assert {s.name: n for s, n in found.spaces.items()} == {"colours.tiny": 3, "loudness.tiny": 6, "tints.tiny": 3}


def test_a_network_that_is_named_later_gets_the_files_that_are_there(add, library, zoo, tiny):
    add(zoo)
    report = add(zoo, models=(*MODELS, register_tints(tiny)))
    assert report.counts == {"unchanged": 5, "ok": 3}
    with library() as found:
        assert {s.name: n for s, n in found.spaces.items()} == {"colours.tiny": 3, "loudness.tiny": 6, "tints.tiny": 3}


def test_ids_of_items_are_unique_across_spaces(add, library, zoo, tiny):
    add(zoo, models=("colours.tiny",))
    add(zoo, models=(*MODELS, register_tints(tiny)))
    with library() as found:
        assert vectors(found) == 12
        assert len({item.id for item in found.items()}) == 5


def test_files_without_a_model_for_their_modality_are_counted(add, zoo):
    assert add(zoo, models=("colours.tiny",)).counts == {"ok": 3, "no-model": 2}


def test_an_unknown_model_is_refused_before_anything_is_read(add, zoo):
    with pytest.raises(SightsoundError, match="did you mean 'colours.tiny'"):
        add(zoo, models=("colour.tiny",))


def test_an_empty_folder_is_an_empty_library(add, library, tmp_path):
    (tmp_path / "empty").mkdir()
    assert add(tmp_path / "empty").counts == {}
    with library() as found:
        assert list(found.items()) == []


def test_one_file_has_its_folder_as_root(add, library, zoo):
    assert add(zoo / "cats" / "1.png").counts == {"ok": 1}
    with library() as found:
        (item,) = found.items()
        assert (item.root, item.path) == (str(zoo / "cats"), "1.png")


def test_a_folder_named_like_a_recording_is_a_folder(add, library, tmp_path):
    write_image(tmp_path / "in" / "dog.wav" / "cat.png")
    assert add(tmp_path / "in").counts == {"ok": 1}
    assert add(tmp_path / "in" / "dog.wav").counts == {"unchanged": 1}
    with library() as found:
        assert [item.path for item in found.items()] == ["dog.wav/cat.png"]


def test_modality_is_decided_by_content(add, library, tmp_path):
    write_image(tmp_path / "in" / "a.wav", 1)
    write_sound(tmp_path / "in" / "b.png", 1)
    add(tmp_path / "in")
    with library() as found:
        assert statuses(found) == {("a.wav", "colours.tiny"): "ok", ("b.png", "loudness.tiny"): "ok"}


def test_paths_that_overlap_give_each_file_once(add, library, zoo):
    assert add(zoo / "cats", zoo, zoo / "cats" / "1.png", zoo / "dogs").counts == {"ok": 5}
    assert add(zoo).counts == {"unchanged": 5}


def test_hidden_files_links_to_folders_and_libraries_are_skipped(add, library, zoo, tmp_path, tiny):
    write_image(zoo / ".hidden.png")
    write_image(zoo / ".git" / "a.png")
    (zoo / "loop").symlink_to(zoo)
    (zoo / "link.png").symlink_to(zoo / "cats" / "1.png")
    index(zoo / "cats", zoo / "mine", models=MODELS, host=tiny)
    assert add(zoo).counts == {"ok": 6}
    with library() as found:
        assert "link.png" in by_path(found)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"SQLite format 3\0" + bytes(200), None], ids=["empty", "text", "sqlite", "pipe"]
)
def test_a_folder_with_another_file_of_the_name_library_sqlite_is_indexed(add, library, zoo, caplog, data):
    other = zoo / "cats" / "library.sqlite"
    os.mkfifo(other) if data is None else other.write_bytes(data)
    assert add(zoo).counts.total() == 6
    with library() as found:
        assert {"cats/0.png", "cats/1.png", "cats/2.png", "cats/library.sqlite"} <= by_path(found).keys()
    assert "library.sqlite is not a library of sightsound; the folder is searched like any other" in caplog.text


def test_media_in_the_folder_of_a_library_are_named_in_a_warning(add, library, zoo, tmp_path, tiny, caplog):
    index(zoo / "dogs", zoo / "lib", models=MODELS, host=tiny)
    assert add(zoo).counts == {"ok": 5} and "a library" not in caplog.text
    write_image(zoo / "lib" / "more" / "a.png", 72)
    assert add(zoo).counts == {"unchanged": 5}
    assert "lib: a library; its 1 other files and folders are not searched" in caplog.text and "more" in caplog.text


def test_a_file_that_is_neither_picture_nor_sound_is_recorded_once(add, library, zoo):
    (zoo / "read.me").write_text("hello, this is a text")
    (zoo / "empty.png").touch()
    assert add(zoo).counts == {"ok": 5, "not-media": 2}
    assert add(zoo).counts == {"unchanged": 7}
    with library() as found:
        assert statuses(found)["empty.png", ""] == "not-media"


def test_a_path_that_does_not_exist_is_refused(add, zoo):
    with pytest.raises(SightsoundError, match="nowhere: no such file or folder"):
        add(zoo, zoo / "nowhere")


def test_the_work_for_a_file_does_not_grow_with_their_number(tiny, tmp_path, monkeypatch):
    """Queries to the database, of a first run and of one that finds everything unchanged."""
    queries = 0

    def counting(method):
        def counted(self, *arguments):
            nonlocal queries
            queries += 1
            return method(self, *arguments)

        return counted

    for method in ("read", "execute", "execute_many"):
        monkeypatch.setattr(Transaction, method, counting(getattr(Transaction, method)))
    found = {}
    for count in (100, 400):
        folder = tmp_path / str(count)
        whole = write_image(folder / "0.png").read_bytes()
        for i in range(1, count):
            (folder / f"{i}.png").write_bytes(whole + i.to_bytes(4, "big"))  # the same pixels in another file
        for state in ("ok", "unchanged"):
            queries = 0
            report = index(folder, tmp_path / f"lib{count}", models=["colours.tiny"], host=tiny)
            assert report.counts == {state: count} and report.windows == (count if state == "ok" else 0)
            found[count, state] = queries
    assert 0 < found[400, "ok"] < 4.2 * found[100, "ok"]
    assert 0 < found[400, "unchanged"] < 4.2 * found[100, "unchanged"]


# -- the second run ----------------------------------------------------------------------------------------------


def test_unchanged_files_are_not_even_read(add, tiny, zoo):
    counter = DecodeCounter()
    tiny.register(counter, "counter")
    add(zoo)
    before = counter.decoded
    file = zoo / "cats" / "1.png"
    stat = file.stat()
    file.write_bytes(bytes(stat.st_size))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert add(zoo).counts == {"unchanged": 5}
    assert counter.decoded == before


def test_a_touched_file_is_hashed_but_not_decoded(add, tiny, library, zoo):
    counter = DecodeCounter()
    tiny.register(counter, "counter")
    add(zoo)
    before = counter.decoded
    for file in zoo.rglob("*.*"):
        older(file)
    report = add(zoo)
    assert counter.decoded == before and report.windows == 0
    assert add(zoo).counts == {"unchanged": 5}


def test_changed_content_replaces_its_old_vectors(add, library, zoo, tiny):
    add(zoo)
    write_sound(older(zoo / "dogs" / "0.wav"), 77, seconds=4)
    assert add(zoo).counts == {"ok": 1, "unchanged": 4}
    with library() as found:
        assert vectors(found) == 3 + 7 + 3
        ((contents,),) = found.rows("SELECT count(*) FROM contents")
        assert contents == 5, "the old content has gone"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SightsoundError])
def test_old_vectors_are_found_until_the_new_ones_are_complete(add, library, zoo, tiny, error):
    """The second batch of the changed recording ends the run. The rows of its first batch are not found."""
    calls = []

    def embed(inner, inputs):
        calls.append(len(inputs))
        if len(calls) == 4 and error is KeyboardInterrupt:
            raise error
        return inner.embed(inputs)

    name = register_variant(tiny, "slow.tiny", "loudness.tiny", batch_size=3, workers=1, embed=embed)
    add(zoo / "dogs", models=[name])
    old = zoo.parent / "old.wav"
    old.write_bytes((zoo / "dogs" / "0.wav").read_bytes())
    write_sound(older(zoo / "dogs" / "0.wav"), 77, seconds=9)
    with contextlib.suppress(KeyboardInterrupt):
        add(zoo / "dogs", models=[name])
    with library() as found:
        (space,) = found.spaces
        hits = search(found.vectors(space, found.content(2))[0], found, host=tiny, models=[name])
        assert {hit.item.path for hit in hits} == {"0.wav", "1.wav"}
        rows = tiny.load("loudness.tiny").rows(_samples(old))[1]
        (hit, *_) = search(rows, found, host=tiny, models=[name])
        if error is KeyboardInterrupt:
            assert hit.item.path == "0.wav" and hit.score == pytest.approx(1, abs=1e-6)
            assert found.spaces[space] == 6, "three windows each, those of the unfinished content do not count"
        else:
            assert hit.score < 0.9999
    assert add(zoo / "dogs", models=[name]).counts["failed"] == 0
    with library() as found:
        assert vectors(found) == 3 + 17


def _samples(file):
    from sightsound import media

    return media.read_sound(file, 1600)


def test_a_picture_that_becomes_a_recording_loses_its_vector_as_a_picture(add, library, zoo, tiny):
    add(zoo)
    write_sound(older(zoo / "cats" / "1.png"), 5, seconds=1)
    add(zoo)
    with library() as found:
        assert {space.name: count for space, count in found.spaces.items()} == {"colours.tiny": 2, "loudness.tiny": 7}
        hits = search(zoo / "cats" / "0.png", found, host=tiny)
        assert [hit.item.path for hit in hits] == ["cats/2.png"]


def test_a_picture_that_becomes_a_text_is_not_found(add, library, zoo, tiny):
    add(zoo)
    older(zoo / "cats" / "1.png").write_text("not a picture at all")
    assert add(zoo).counts == {"unchanged": 4, "not-media": 1}
    with library() as found:
        assert vectors(found) == 2 + 6
        assert [hit.item.path for hit in search(zoo / "cats" / "0.png", found, host=tiny)] == ["cats/2.png"]


def test_a_text_that_becomes_a_picture_is_found(add, library, zoo):
    file = zoo / "cats" / "9.png"
    file.write_text("soon")
    add(zoo)
    write_image(older(file), 9)
    assert add(zoo).counts == {"unchanged": 5, "ok": 1}
    with library() as found:
        assert statuses(found)["cats/9.png", "colours.tiny"] == "ok"
        assert ("cats/9.png", "") not in statuses(found)


# -- copies and names --------------------------------------------------------------------------------------------


def test_copies_share_vectors_and_are_decoded_once(add, tiny, library, zoo):
    counter = DecodeCounter()
    tiny.register(counter, "counter")
    for i in range(4):
        (zoo / f"copy{i}.png").write_bytes((zoo / "cats" / "0.png").read_bytes())
    assert add(zoo).counts == {"ok": 9}
    assert counter.decoded == 5
    (zoo / "late.png").write_bytes((zoo / "cats" / "0.png").read_bytes())
    assert add(zoo).counts == {"ok": 1, "unchanged": 9}
    assert counter.decoded == 5
    with library() as found:
        assert vectors(found) == 3 + 6


def test_shared_vectors_are_deleted_with_the_last_copy(add, library, zoo):
    copy = zoo / "copy.png"
    copy.write_bytes((zoo / "cats" / "0.png").read_bytes())
    add(zoo)
    write_image(older(copy), 50)
    add(zoo)
    with library() as found:
        assert vectors(found) == 4 + 6
    write_image(older(zoo / "cats" / "0.png"), 51)
    add(zoo)
    with library() as found:
        assert vectors(found) == 4 + 6


def test_a_renamed_file_keeps_its_id_its_labels_and_its_vectors(add, tiny, library, zoo, tmp_path):
    (tmp_path / "table.csv").write_text("path,who\ncats/1.png,Tom\n")
    counter = DecodeCounter()
    tiny.register(counter, "counter")
    add(zoo, label_from=tmp_path / "table.csv")
    with library() as found:
        id_ = by_path(found)["cats/1.png"].id
    before = counter.decoded
    (zoo / "cats" / "1.png").rename(zoo / "dogs" / "tom.png")
    add(zoo)
    assert counter.decoded == before
    with library() as found:
        items = by_path(found)
        assert len(items) == 5 and items["dogs/tom.png"].id == id_
        assert found.labels(id_) == {"who": ("Tom",)}
        assert [hit.item.path for hit in search(zoo / "cats" / "0.png", found, host=tiny, k=1)] in (
            [["dogs/tom.png"], ["cats/2.png"]]
        )


def test_files_that_swap_their_names_swap_their_vectors(add, tiny, library, zoo):
    add(zoo)
    a, b = zoo / "cats" / "0.png", zoo / "cats" / "1.png"
    older(a, 30).rename(zoo / "swap")
    older(b, 60).rename(a)
    (zoo / "swap").rename(b)
    add(zoo)
    with library() as found:
        assert vectors(found) == 3 + 6
        model = tiny.load("colours.tiny")
        from sightsound import media

        for file in (a, b):
            item = by_path(found)[f"cats/{file.name}"]
            rows, _ = found.vectors(model.space, found.content(item.id))
            np.testing.assert_allclose(rows, model.rows(media.read_image(file).pixels)[1], rtol=1.2e-7)


def test_a_file_renamed_while_its_old_name_is_taken_keeps_what_is_shared(add, library, zoo):
    add(zoo)
    old = zoo / "cats" / "0.png"
    old.rename(zoo / "cats" / "moved.png")
    write_image(old, 70)
    assert add(zoo).counts == {"ok": 2, "unchanged": 4}
    with library() as found:
        assert vectors(found) == 4 + 6 and len(by_path(found)) == 6


def test_a_backup_does_not_take_the_items_of_an_unplugged_drive(add, library, zoo, tmp_path):
    (tmp_path / "table.csv").write_text("path,who\ncats/1.png,Tom\n")
    add(zoo, label_from=tmp_path / "table.csv")
    with library() as found:
        before = {item.file: (item.id, found.labels(item.id)) for item in found.items()}
    shutil.copytree(zoo, tmp_path / "backup")
    drive = zoo.rename(tmp_path / "unplugged")
    zoo.mkdir()  # the mount point stays
    assert add(tmp_path / "backup").counts == {"ok": 5}
    zoo.rmdir()
    drive.rename(zoo)
    assert add(zoo).counts == {"unchanged": 5}
    with library() as found:
        after = {item.file: (item.id, found.labels(item.id)) for item in found.items()}
    assert len(after) == 10 and after.items() >= before.items()
    assert [who for _, labels in before.values() for who in labels.get("who", ())] == ["Tom"]


@pytest.mark.parametrize("below", ["", "photos"])
def test_a_backup_in_the_same_root_does_not_take_the_items_of_an_unplugged_drive(add, library, zoo, tmp_path, below):
    (zoo / "drive").mkdir()
    for folder in ("cats", "dogs"):
        (zoo / "drive" / below).mkdir(exist_ok=True)
        (zoo / folder).rename(zoo / "drive" / below / folder)
    add(zoo, label_from="folder")
    with library() as found:
        before = {item.file: (item.id, found.labels(item.id)) for item in found.items()}
    assert len(before) == 5
    shutil.copytree(zoo / "drive", zoo / "backup")
    (zoo / "drive").rename(tmp_path / "unplugged")
    (zoo / "drive").mkdir()  # the mount point, which was there before the drive
    os.utime(zoo / "drive", (10**9, 10**9))
    assert add(zoo).counts == {"ok": 5}
    (zoo / "drive").rmdir()
    (tmp_path / "unplugged").rename(zoo / "drive")
    with library() as found:
        after = {item.file: (item.id, found.labels(item.id)) for item in found.items()}
    assert len(after) == 10 and after.items() >= before.items()


def test_files_that_all_leave_a_folder_are_recognised(add, library, zoo):
    add(zoo, label_from="folder")
    with library() as found:
        before = {item.id: found.labels(item.id) for item in found.items()}
    (zoo / "animals").mkdir()
    for file in sorted((zoo / "cats").iterdir()):
        file.rename(zoo / "animals" / file.name)
    (zoo / "dogs").rename(zoo / "hounds")
    assert set(add(zoo).counts) == {"ok"}
    with library() as found:
        assert {item.id: found.labels(item.id) for item in found.items()} == before
        assert {item.path.split("/")[0] for item in found.items()} == {"animals", "hounds"}


def test_a_file_that_moved_to_another_root_is_recognised_if_its_old_root_has_other_files(add, library, zoo, tmp_path):
    add(zoo)
    with library() as found:
        id_ = by_path(found)["cats/1.png"].id
    (tmp_path / "other").mkdir()
    (zoo / "cats" / "1.png").rename(tmp_path / "other" / "1.png")
    add(tmp_path / "other")
    with library() as found:
        assert len(found.items()) == 5 and found.item(id_).file == tmp_path / "other" / "1.png"


def test_a_file_that_may_not_be_examined_is_not_taken_for_a_renamed_one(add, library, zoo, monkeypatch):
    add(zoo)
    shutil.copy(zoo / "cats" / "1.png", zoo / "dogs" / "copy.png")
    real = os.lstat

    def lstat(path, **options):
        if os.fsencode(path).endswith(b"cats/1.png"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, **options)

    monkeypatch.setattr(os, "lstat", lstat)
    add(zoo / "dogs" / "copy.png")
    monkeypatch.undo()
    with library() as found:
        assert {"cats/1.png", "dogs/copy.png"} <= by_path(found).keys()


def test_the_report_counts_the_files_that_are_gone_and_examines_no_others(add, zoo, monkeypatch):
    assert add(zoo).gone == Gone()
    (zoo / "cats" / "1.png").unlink()
    examined = []
    monkeypatch.setattr(gone, "is_missing", lambda path: examined.append(os.fspath(path)) or is_missing(path))
    assert add(zoo).gone == Gone(items=1)
    assert examined == [str(zoo), str(zoo / "cats" / "1.png")]
    assert add(zoo / "dogs").gone == Gone()
    zoo.rename(zoo.with_name("moved"))
    assert add(zoo.with_name("moved") / "dogs").gone == Gone(roots={str(zoo): 5})


def test_a_file_with_a_time_after_2262_is_indexed_and_known_again(add, library, zoo, command, tmp_path):
    for year, file in ((2262, "0"), (2300, "1"), (1600, "2")):
        second = int((year - 1970 + 1) * 365.2425 * 86400)
        try:
            os.utime(zoo / "cats" / f"{file}.png", (second, second))
        except OSError:
            pytest.skip("the file system has no such times")
    if (zoo / "cats" / "0.png").stat().st_mtime_ns < 2**63:
        pytest.skip("the file system has no such times")
    assert add(zoo).counts == {"ok": 5}
    assert add(zoo).counts == {"unchanged": 5}
    os.utime(zoo / "cats" / "1.png", (second + 2**34, second + 2**34))
    write_image(zoo / "cats" / "1.png", 71)
    assert add(zoo).counts == {"ok": 1, "unchanged": 4}


# -- many files of one content -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["empty", "image"])
def test_the_work_for_files_of_equal_content_grows_in_proportion_to_their_number(tiny, tmp_path, monkeypatch, kind):
    """Counts the instructions that SQLite executes and the files that are examined, as the time varies."""
    data = b"" if kind == "empty" else write_image(tmp_path / "one.png").read_bytes()
    work = {"instructions": 0, "files": 0}
    real, connect = renamed.is_missing, database._connect

    def is_missing(path):
        work["files"] += 1
        return real(path)

    def step():
        work["instructions"] += 100

    def counted(uri):
        db = connect(uri)
        db.set_progress_handler(step, 100)
        return db

    monkeypatch.setattr(renamed, "is_missing", is_missing)
    monkeypatch.setattr(database, "_connect", counted)
    found = []
    for count in (60, 240):
        folder = tmp_path / str(count)
        folder.mkdir()
        for i in range(count // 2):
            (folder / f"{i:03}.png").write_bytes(data)
        assert index(folder, tmp_path / f"lib{count}", models=MODELS, host=tiny).counts.total() == count // 2
        for i in range(count // 2, count):
            (folder / f"{i:03}.png").write_bytes(data)
        work.update(instructions=0, files=0)
        assert index(folder, tmp_path / f"lib{count}", models=MODELS, host=tiny).counts.total() == count
        found.append(dict(work))
    assert found[0]["instructions"] > 0 and found[0]["files"] > 0
    assert found[1]["files"] <= 4 * found[0]["files"]
    assert found[1]["instructions"] <= 6 * found[0]["instructions"]


# -- failures ----------------------------------------------------------------------------------------------------


def broken(path):
    path.write_bytes(path.read_bytes()[:40])
    return path


def test_a_file_that_fails_is_named_and_remembered_until_it_is_retried(add, library, zoo):
    broken(zoo / "cats" / "1.png")
    report = add(zoo)
    assert report.counts == {"ok": 4, "failed": 1}
    assert [outcome.item.path for outcome in report.failed] == ["cats/1.png"]
    report = add(zoo)
    assert report.counts == {"unchanged": 5} and len(report.failed) == 1
    report = add(zoo, retry=True)
    assert report.counts == {"unchanged": 4, "failed": 1}
    write_image(older(zoo / "cats" / "1.png"), 1)
    assert add(zoo).counts == {"unchanged": 4, "ok": 1}
    with library() as found:
        assert vectors(found) == 3 + 6


def test_a_failure_of_the_network_can_be_retried(add, library, zoo, tiny):
    weather = {"bad": True}

    def embed(inner, inputs):
        if weather["bad"] and len(inputs) == 1:
            raise RuntimeError("out of luck")
        if weather["bad"]:
            raise RuntimeError("out of luck with many")
        return inner.embed(inputs)

    name = register_variant(tiny, "moody.tiny", "loudness.tiny", batch_size=2, embed=embed)
    (zoo / "copy.wav").write_bytes((zoo / "dogs" / "0.wav").read_bytes())
    assert add(zoo, models=[name]).counts == {"failed": 3, "no-model": 3}
    weather["bad"] = False
    assert add(zoo, models=[name]).counts == {"unchanged": 3, "no-model": 3}
    assert add(zoo, models=[name], retry=True).counts == {"ok": 3, "no-model": 3}
    with library() as found:
        assert vectors(found) == 6


def test_a_file_that_cannot_be_read_keeps_its_vectors(add, library, zoo, tiny):
    add(zoo)
    file = zoo / "cats" / "1.png"
    file.rename(zoo.parent / "1.png")
    file.symlink_to(zoo / "unplugged")
    report = add(zoo)
    assert report.counts == {"unchanged": 4, "failed": 1}
    assert report.failed[0].reason == "cannot be read (No such file or directory)"
    with library() as found:
        assert vectors(found) == 3 + 6
        assert "cats/1.png" in {hit.item.path for hit in search(zoo / "cats" / "0.png", found, host=tiny)}
    file.unlink()
    (zoo.parent / "1.png").rename(file)
    assert add(zoo).counts == {"unchanged": 5}


def test_a_new_file_that_cannot_be_read_is_indexed_when_it_can(add, library, zoo):
    (zoo / "new.png").symlink_to(zoo.parent / "unplugged")
    assert add(zoo).counts == {"ok": 5, "failed": 1}
    assert add(zoo).counts == {"unchanged": 5, "failed": 1}
    with library() as found:
        assert statuses(found)["new.png", ""] == "failed"
    write_image(zoo.parent / "unplugged", 60)
    assert add(zoo).counts == {"unchanged": 5, "ok": 1}
    with library() as found:
        assert ("new.png", "") not in statuses(found)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_read_is_named_and_keeps_its_items(tiny, zoo, tmp_path):
    with open_to_all(zoo.parent) as base:
        where = base / "lib"
        with ordinary_user():
            index(zoo, where, models=MODELS, host=tiny)
        (zoo / "cats").chmod(0)
        try:
            with ordinary_user():
                report = index(zoo, where, models=MODELS, host=tiny)
        finally:
            (zoo / "cats").chmod(0o755)
        assert report.counts == {"unchanged": 2, "failed": 1}
        assert report.failed[0].reason == "cats: cannot read folder (Permission denied)"
        with Library(where) as found:
            assert vectors(found) == 3 + 6


@contextlib.contextmanager
def open_to_all(folder: Path):
    """`folder` and all above it may be entered by anybody meanwhile; gives a new folder that anybody may write."""
    changed = []
    for part in (folder, *folder.parents):
        mode = part.stat().st_mode & 0o7777
        if part.stat().st_uid == os.geteuid() and mode & 0o005 != 0o005:
            changed.append((part, mode))
            part.chmod(mode | 0o055)
    public = folder / "public"
    public.mkdir()
    public.chmod(0o777)
    try:
        yield public
    finally:
        for part, mode in changed:
            part.chmod(mode)


def test_a_copy_of_a_file_that_vanishes_meanwhile_is_embedded(add, library, zoo, tiny, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_THREADS", "1")
    first, copy = zoo / "cats" / "1.png", zoo / "cats" / "1b.png"
    copy.write_bytes(first.read_bytes())

    class Remover:
        """Deletes the first file when it is decoded."""

        same_numbers = True

        @hookimpl(wrapper=True)
        def preprocess(self, embedder, media, start, last):
            first.unlink(missing_ok=True)
            return (yield)

    tiny.register(Remover(), "remover")
    report = add(zoo / "cats")
    assert [outcome.item.path for outcome in report.failed] == ["1.png"]
    add(zoo / "cats")
    with library() as found:
        assert statuses(found)["1b.png", "colours.tiny"] == "ok", report.failed


# -- labels ------------------------------------------------------------------------------------------------------


def test_labels_come_from_the_folder(add, library, zoo):
    add(zoo, label_from="folder")
    with library() as found:
        items = by_path(found)
        assert found.labels(items["cats/1.png"].id) == {"label": ("cats",)}
        assert found.labels(items["dogs/1.wav"].id) == {"label": ("dogs",)}


def test_files_that_are_no_media_get_no_label_from_their_folder(add, library, zoo):
    (zoo / "cats" / "readme.txt").write_text("a text")
    add(zoo, label_from="folder")
    with library() as found:
        items = by_path(found)
        assert found.labels(items["cats/readme.txt"].id) == {}
        assert found.labels(items["cats/1.png"].id) == {"label": ("cats",)}


@pytest.mark.parametrize("stop", ["stop", "end"])
def test_a_table_with_seconds_labels_time_ranges(add, library, zoo, tmp_path, stop):
    (tmp_path / "table.csv").write_text(f"path,start,{stop},who\ndogs/1.wav,0,1.5,Rex\ndogs/7.wav,0,1,Rex\n")
    assert add(zoo, label_from=tmp_path / "table.csv").unmatched == ["dogs/7.wav"]
    with library() as found:
        id_ = by_path(found)["dogs/1.wav"].id
        assert found.ranges(id_) == [TimeRange(0, 1.5, "who", "Rex")] and found.labels(id_) == {}


def test_labels_from_the_folder_are_given_to_known_files_too(add, library, zoo):
    add(zoo)
    add(zoo, label_from="folder")
    with library() as found:
        assert {found.labels(item.id)["label"] for item in found.items()} == {("cats",), ("dogs",)}


@UNDECODED
def test_a_folder_whose_name_is_not_utf8_can_be_a_label(add, library, tmp_path):
    write_image(tmp_path / "in" / os.fsdecode(b"caf\xe9") / "a.png")
    assert add(tmp_path / "in", label_from="folder").counts == {"ok": 1}
    with library() as found:
        (item,) = found.items()
        ((label,),) = found.labels(item.id).values()
        assert label.startswith("caf")


def test_labels_come_from_a_table_and_rows_without_an_item_are_reported(add, library, zoo, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "\ufeffpath,who,mood\ncats/0.png,Tom,calm\ncats/0.png,Tim,calm\ncats/7.png,Tam,\n./dogs/0.wav,Rex,\n,,\n",
        encoding="utf-8",
    )
    report = add(zoo, label_from=table)
    assert report.unmatched == ["cats/7.png", "row 5, which has no path"]
    with library() as found:
        items = by_path(found)
        assert found.labels(items["cats/0.png"].id) == {"mood": ("calm",), "who": ("Tim", "Tom")}
        assert found.labels(items["dogs/0.wav"].id) == {"who": ("Rex",)}


def test_a_table_replaces_the_columns_that_it_has(add, library, zoo, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("path,who,mood\ncats/0.png,Tom,calm\n")
    add(zoo, label_from=table)
    table.write_text("path,who\ncats/0.png,Tim\n")
    add(zoo, label_from=table)
    with library() as found:
        assert found.labels(by_path(found)["cats/0.png"].id) == {"mood": ("calm",), "who": ("Tim",)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,who\na.png,Tom\n", "expected a CSV with a column 'path'"),
        ("", "expected a CSV with a column 'path'"),
        (b"path,who\n\xe9.png,Tom\n", "cannot be read as CSV"),
        (None, "cannot be read as CSV"),
    ],
    ids=["no path", "empty", "not UTF-8", "not there"],
)
def test_an_invalid_table_is_refused_before_anything_is_embedded(add, library, zoo, tmp_path, text, words):
    table = tmp_path / "table.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SightsoundError, match=words):
        add(zoo, label_from=table)
    with Library(tmp_path / "lib", create=True) as found:
        assert list(found.items()) == [], "nothing was embedded"


def test_a_row_that_is_too_short_matches_nothing(add, zoo, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("who,path\nTom,cats/0.png\nTim\n")
    assert len(add(zoo, label_from=table).unmatched) == 1


def test_a_row_with_a_null_character_does_not_break_the_run(add, zoo, tmp_path):
    (tmp_path / "table.csv").write_text("path,who\ncats/0\0.png,Tom\n")
    with contextlib.suppress(SightsoundError):
        assert len(add(zoo, label_from=tmp_path / "table.csv").unmatched) == 1


# -- names -------------------------------------------------------------------------------------------------------

ODD = [
    "two\nlines.png",
    "dog[/x].png",
    "=cmd().png",
    " .png",
    "-k.png",
    "a@1.0-2.5.png",
    "100%.png",
    "'\"`$.png",
    "ä…🐈.png",
]


@UNDECODED
def test_odd_names_survive_the_round_trip(add, library, tiny, tmp_path):
    folder = tmp_path / os.fsdecode(b"b\xe9b\xe9")
    names = [*ODD, os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"\xff\xfe\n.png")]
    for i, name in enumerate(names):
        write_image(folder / name, i)
    assert add(folder).counts == {"ok": len(names)}
    assert add(folder).counts == {"unchanged": len(names)}
    with library() as found:
        assert {item.path for item in found.items()} == set(names)
        assert {item.root for item in found.items()} == {str(folder)}
        for name in names:
            hits = search(folder / name, found, host=tiny, k=100)
            assert {hit.item.path for hit in hits} == set(names) - {name}


@UNDECODED
def test_odd_names_pass_through_every_command(command, tmp_path):
    folder = tmp_path / "in"
    names = [*ODD, os.fsdecode(b"caf\xe9.png")]
    for i, name in enumerate(names):
        write_image(folder / name, i)
    broken(write_image(folder / "[red]cut\n[/red].png", 99))
    where = ("--library", tmp_path / "lib")
    first = command("index", folder, *where, "--model", "colours.tiny")
    assert first.returncode == 1 and "Traceback" not in first.stderr
    assert len(first.stderr.splitlines()) == 1 and "[red]cut\\n[/red].png: " in first.stderr
    hits = command("search", folder / "100%.png", *where, "-k", "50")
    assert hits.returncode == 0 and len(hits.stdout.splitlines()) == 1 + len(names) - 1
    assert (
        "dog[/x].png" in hits.stdout and "two\\nlines.png" in hits.stdout and re.search(r"caf\\(udc|x)e9", hits.stdout)
    )
    plain = json.loads(command("search", folder / "100%.png", *where, "-k", "50", "--json").stdout)
    assert {hit["path"] for hit in plain} == set(names) - {"100%.png"}
    for words in (["stats"], ["stats", "--json"], ["check"]):
        done = command(*words, *where)
        assert (done.returncode, done.stderr) == (0, "")
    gone = command("forget", folder / names[-1], folder / names[0], *where)
    assert gone.returncode == 0 and gone.stdout.splitlines()[-1] == "2 items forgotten"


# -- the command -------------------------------------------------------------------------------------------------


def test_the_same_command_twice_finds_nothing_new(command, zoo, tmp_path):
    words = ("index", zoo, "-l", tmp_path / "lib", "-m", "colours.tiny", "-m", "loudness.tiny")
    first, second = command(*words), command(*words)
    assert (first.returncode, first.stderr) == (0, "") == (second.returncode, second.stderr)
    assert first.stdout.startswith("5 embedded; 9 new vectors in ")
    assert second.stdout.startswith("5 unchanged; nothing new in ")


def test_failures_and_rows_without_an_item_exit_with_1(command, zoo, tmp_path):
    words = ("index", zoo, "-l", tmp_path / "lib", "-m", "colours.tiny", "-m", "loudness.tiny")
    (tmp_path / "table.csv").write_text("path,who\nnobody.png,Tom\n")
    done = command(*words, "--label-from", tmp_path / "table.csv")
    assert done.returncode == 1
    assert done.stderr == "no item for nobody.png\n"
    broken(older(zoo / "cats" / "1.png"))
    done = command(*words, "--json")
    assert done.returncode == 1
    assert [failed["path"] for failed in json.loads(done.stdout)["failed"]] == ["cats/1.png"]


@pytest.mark.parametrize("path", ["nowhere", "zoo/cats/9.png"])
def test_a_wrong_path_exits_with_2_and_one_line(command, zoo, tmp_path, path):
    done = command("index", tmp_path / path, "-l", tmp_path / "lib", "-m", "colours.tiny")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"sightsound: {tmp_path / path}: no such file or folder\n"


def test_two_commands_at_once_leave_one_whole_library(install, command, zoo, tmp_path):
    for i in range(20):
        write_image(zoo / f"{i}.png", 200 + i)
    words = ("index", zoo, "-l", tmp_path / "lib", "-m", "colours.tiny", "-m", "loudness.tiny")
    both = [start_command(install("tiny"), *words, TINY_SECONDS="0.1") for _ in range(2)]
    ends = [(process.communicate(timeout=60), process.returncode) for process in both]
    assert 0 in [code for _, code in ends]
    for (_, text), code in ends:
        assert code == 0 or (code == 2 and "is writing to it; wait until it is done, or stop it" in text), text
    assert command("check", "-l", tmp_path / "lib").returncode == 0
    assert command(*words).stdout.startswith("25 unchanged")


def test_control_c_stops_cleanly_and_the_next_run_goes_on(install, command, zoo, tmp_path):
    for i in range(60):
        write_image(zoo / f"{i}.png", 200 + i)
    words = ("index", zoo, "-l", tmp_path / "lib", "-m", "colours.tiny", "-m", "loudness.tiny")
    running = start_command(install("tiny"), *words, TINY_SECONDS="0.2")
    await_vectors(tmp_path / "lib", running)
    running.send_signal(signal.SIGINT)
    out, text = running.communicate(timeout=20)
    assert running.returncode == 130, text
    assert text.strip() == "sightsound: stopped; what was committed is kept, the same command goes on from there"
    assert out == ""
    assert command("check", "-l", tmp_path / "lib").returncode == 0
    report = json.loads(command(*words, "--json").stdout)["counts"]
    assert report["unchanged"] >= 4 and report["ok"] + report["unchanged"] == 65


def await_vectors(where, running):
    """Returns when the running command has committed some vectors."""
    for _ in range(600):
        assert running.poll() is None, running.communicate()
        with contextlib.suppress(SightsoundError), Library(where) as found:
            if found.rows("SELECT 1 FROM runs LIMIT 1"):
                return
        time.sleep(0.02)
    raise AssertionError("no vectors in twelve seconds")


def test_no_progress_bar_is_shown_outside_a_terminal(command, zoo, tmp_path):
    done = command("index", zoo, "-l", tmp_path / "lib", "-m", "colours.tiny")
    assert done.stderr == "" and "\r" not in done.stdout


def test_an_error_of_the_network_keeps_its_note(add, zoo, tiny):
    def embed(inner, inputs):
        raise ValueError("always")

    report = add(zoo / "dogs" / "1.wav", models=[register_variant(tiny, "bad.tiny", "loudness.tiny", embed=embed)])
    (outcome,) = report.failed
    assert outcome.error.__notes__ == ["while embedding 1.wav with bad.tiny"]
    assert not isinstance(outcome.error, MediaError)


def test_a_copy_has_all_its_vectors_if_the_first_file_fails_in_the_middle(add, library, tmp_path, tiny):
    """The network fails once, in the third batch of a recording whose copy comes next."""
    calls = []

    def embed(inner, inputs):
        calls.append(len(inputs))
        if 3 <= len(calls) <= 5:  # the batch, and its halves
            raise RuntimeError("a bad moment")
        return inner.embed(inputs)

    first = write_sound(tmp_path / "in" / "a.wav", 1, seconds=5)
    (tmp_path / "in" / "b.wav").write_bytes(first.read_bytes())
    name = register_variant(tiny, "moody.tiny", "loudness.tiny", batch_size=2, workers=1, embed=embed)
    report = add(tmp_path / "in", models=[name])
    if report.failed and report.counts["ok"] == 0:
        report = add(tmp_path / "in", models=[name], retry=True)
    with library() as found:
        assert vectors(found) == 9
        assert len(search(2, found, host=tiny, models=[name])) == 0, "of one content alone"
