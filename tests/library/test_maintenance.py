"""Removing items and spaces from a library, and relocating folders."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import replace

import pytest

from made import write_image, write_sound
from sightsound import (
    Item,
    Library,
    LibraryError,
    check,
    forget,
    forget_missing,
    forget_space,
    index,
    relocate,
    search,
    stats,
)
from sightsound.contract.results import Outcome
from sightsound.contract.space import Space
from sightsound.library import maintenance

MODELS = ("colours.tiny", "loudness.tiny")


@pytest.fixture
def zoo(tmp_path):
    folder = tmp_path / "zoo"
    for i in range(4):
        write_image(folder / "cats" / f"{i}.png", i)
    for i in range(2):
        write_sound(folder / "dogs" / f"{i}.wav", i)
    (folder / "copy.png").write_bytes((folder / "cats" / "0.png").read_bytes())
    return folder


@pytest.fixture
def library(tiny, zoo, tmp_path):
    (tmp_path / "table.csv").write_text("path,who\ncats/1.png,Tom\n")
    index(zoo, tmp_path / "lib", models=MODELS, host=tiny, label_from=tmp_path / "table.csv")
    with Library(tmp_path / "lib") as found:
        yield found
        assert check(found) == []


def paths(library):
    return {item.path for item in library.items()}


def count(library, table):
    what = "total(count)" if table == "runs" else "count(*)"
    return library.rows(f"SELECT {what} FROM {table}")[0][0]


# -- forget ------------------------------------------------------------------------------------------------------


def test_forget_removes_the_vectors_labels_and_outcomes_of_a_file(library, zoo):
    (gone,) = forget([zoo / "cats" / "1.png"], library)
    assert gone.path == "cats/1.png" and "cats/1.png" not in paths(library)
    assert (zoo / "cats" / "1.png").exists()
    assert (count(library, "runs"), count(library, "contents")) == (5, 5)
    assert (count(library, "outcomes"), count(library, "labels")) == (6, 0)


def test_a_library_that_is_open_does_not_find_a_forgotten_file(library, zoo, tiny):
    query = zoo / "cats" / "0.png"
    assert len(search(query, library, host=tiny)) == 3
    forget([zoo / "cats" / "1.png"], library)
    assert {hit.item.path for hit in search(query, library, host=tiny)} == {"cats/2.png", "cats/3.png"}


def test_forget_of_a_folder_removes_all_below_it_and_nothing_beside_it(library, zoo, tiny):
    write_image(zoo / "catsuit" / "a.png", 60)
    index(zoo, library, models=MODELS, host=tiny)
    assert len(forget([zoo / "cats", zoo / "cats" / "2.png"], library)) == 4
    assert paths(library) == {"catsuit/a.png", "dogs/0.wav", "dogs/1.wav", "copy.png"}


def test_vectors_stay_until_the_last_copy_is_forgotten(library, zoo, tiny):
    forget([zoo / "cats" / "0.png"], library)
    assert count(library, "runs") == 6
    assert "copy.png" in {hit.item.path for hit in search(zoo / "cats" / "1.png", library, host=tiny)}
    forget([zoo / "copy.png"], library)
    assert count(library, "runs") == 5


def test_a_file_that_was_deleted_can_be_forgotten(library, zoo):
    (zoo / "cats" / "1.png").unlink()
    assert [item.path for item in forget([zoo / "cats" / "1.png"], library)] == ["cats/1.png"]
    shutil.rmtree(zoo)
    assert len(forget([zoo], library)) == 6
    assert library.roots == []


def test_a_path_that_is_not_in_the_library_is_refused_and_nothing_is_forgotten(library, zoo):
    with pytest.raises(LibraryError, match=r"nowhere: nothing of this path is in lib; see `sightsound stats`"):
        forget([zoo / "cats", zoo / "nowhere"], library)
    assert len(paths(library)) == 7


def test_a_forgotten_file_that_is_indexed_again_gets_a_new_id(library, zoo, tiny):
    ids = {item.id for item in library.items()}
    (gone,) = forget([zoo / "dogs" / "1.wav"], library)
    assert index(zoo, library, models=MODELS, host=tiny).counts == {"unchanged": 6, "ok": 1}
    (new,) = {item.id for item in library.items()} - ids
    assert new > max(ids), f"the id {gone.id} is not used again"


def test_forgetting_the_last_file_leaves_an_empty_library(library, zoo, tiny):
    forget([zoo], library)
    for table in ("items", "contents", "runs", "outcomes", "labels", "roots"):
        assert count(library, table) == 0, table
    assert index(zoo, library, models=MODELS, host=tiny).counts == {"ok": 7}


# -- forget --missing --------------------------------------------------------------------------------------------


def test_forget_missing_removes_items_without_a_file(library, zoo):
    (zoo / "cats" / "1.png").unlink()
    (zoo / "dogs" / "1.wav").unlink()
    assert {item.path for item in forget_missing(library)} == {"cats/1.png", "dogs/1.wav"}
    assert len(paths(library)) == 5


def test_forget_missing_removes_nothing_if_all_files_exist(library):
    assert forget_missing(library) == []


def test_forget_missing_refuses_if_a_root_does_not_exist(library, zoo):
    zoo.rename(zoo.parent / "elsewhere")
    with pytest.raises(LibraryError, match=r"zoo: the folder is not there \(an unplugged drive\?\).*--yes"):
        forget_missing(library)
    assert len(paths(library)) == 7
    assert len(forget_missing(library, yes=True)) == 7


def test_forget_missing_refuses_if_more_than_half_is_missing(library, zoo):
    shutil.rmtree(zoo / "cats")
    with pytest.raises(LibraryError, match=r"4 of 7 items are missing, more than half; .*--yes"):
        forget_missing(library)
    assert len(paths(library)) == 7
    assert len(forget_missing(library, yes=True)) == 4


@pytest.mark.parametrize("folder", ["drive", "drive/photos"])
def test_forget_missing_refuses_if_a_folder_is_an_unused_mount_point(tiny, tmp_path, folder):
    for name in ("a.png", "b.png", "c.png", f"{folder}/d.png"):
        (tmp_path / "zoo" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "zoo" / name, 1)
    index(tmp_path / "zoo", tmp_path / "l", models=["colours.tiny"], host=tiny)
    drive = tmp_path / "zoo" / folder.removesuffix("/photos")
    drive.rename(tmp_path / "unplugged")
    drive.mkdir()
    with pytest.raises(LibraryError, match=f"{drive}: the folder is empty now .*; plug it in, delete the folder, or"):
        forget_missing(tmp_path / "l")
    with Library(tmp_path / "l") as library:
        assert len(library) == 4
    drive.rmdir()
    assert len(forget_missing(tmp_path / "l")) == 1


def test_forget_missing_removes_nothing_if_one_root_is_refused(library, zoo, tiny, tmp_path):
    write_image(tmp_path / "more" / "a.png", 80)
    index(tmp_path / "more", library, models=MODELS, host=tiny)
    shutil.rmtree(tmp_path / "more")
    (zoo / "cats" / "1.png").unlink()
    with pytest.raises(LibraryError, match="more: the folder is not there"):
        forget_missing(library)
    assert len(paths(library)) == 8


def test_a_link_to_a_missing_file_is_not_missing(library, zoo):
    (zoo / "cats" / "1.png").unlink()
    (zoo / "cats" / "1.png").symlink_to(zoo / "unplugged")
    assert forget_missing(library) == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.ESTALE, errno.EIO, errno.ELOOP])
def test_forget_missing_keeps_items_that_cannot_be_examined(library, zoo, monkeypatch, code):
    (zoo / "copy.png").unlink()
    real = os.lstat

    def lstat(path, **options):
        if "cats" in os.fspath(path):
            raise OSError(code, os.strerror(code), path)
        return real(path, **options)

    monkeypatch.setattr(os, "lstat", lstat)
    assert [item.path for item in forget_missing(library, yes=True)] == ["copy.png"]
    (tom,) = (item.id for item in library.items() if item.path == "cats/1.png")
    assert len(paths(library)) == 6 and library.labels(tom) == {"who": ("Tom",)}


def test_an_item_below_what_is_a_file_now_is_missing(library, zoo):
    shutil.rmtree(zoo / "dogs")
    (zoo / "dogs").write_text("a file")
    assert {item.path for item in forget_missing(library)} == {"dogs/0.wav", "dogs/1.wav"}


def test_an_empty_path_is_refused_and_does_not_mean_the_working_folder(library, zoo, monkeypatch, command):
    monkeypatch.chdir(zoo)
    for work in (
        lambda: forget("", library),
        lambda: forget([zoo / "copy.png", ""], library),
        lambda: relocate("", zoo, library),
        lambda: relocate(zoo, "", library),
        lambda: forget_missing(""),
    ):
        with pytest.raises(LibraryError, match='"": an empty path'):
            work()
    for words in (("forget", ""), ("forget", "--space", ""), ("relocate", "", "."), ("relocate", ".", "")):
        assert command(*words, "-l", library.path).returncode == 2
    assert command("forget", "--missing", "--space", "", "-l", library.path).returncode == 2
    assert len(paths(library)) == 7 and library.roots == [str(zoo)]
    assert len(forget(".", library)) == 7


@pytest.mark.parametrize("digits", [0, 1, 7])
def test_few_digits_of_a_fingerprint_do_not_name_a_space(library, digits):
    (space,) = (space for space in library.spaces if space.name == "colours.tiny")
    before = count(library, "runs")
    with pytest.raises(LibraryError, match="expected the name of a space or the first 8 digits of its fingerprint"):
        forget_space(space.fingerprint[:digits], library)
    assert count(library, "runs") == before > 0
    assert forget_space(space.fingerprint[:8], library) == 4


# -- relocate ----------------------------------------------------------------------------------------------------


def test_relocate_keeps_the_ids_of_a_moved_folder(library, zoo, tiny):
    ids = {item.path: item.id for item in library.items()}
    new = zoo.rename(zoo.parent / "farm")
    assert relocate(zoo, new, library) == 7
    assert library.roots == [str(new)]
    assert index(new, library, models=MODELS, host=tiny).counts == {"unchanged": 7}
    assert {item.path: item.id for item in library.items()} == ids


def test_relocate_of_a_folder_above_the_roots_moves_all_of_them(library, zoo, tiny, tmp_path):
    write_image(tmp_path / "zoom" / "a.png", 80)
    index(tmp_path / "zoom", library, models=MODELS, host=tiny)
    new = tmp_path / "new"
    (new / "zoo").mkdir(parents=True)
    assert relocate(tmp_path, new, library) == 8
    assert library.roots == [str(new / "zoo"), str(new / "zoom")]


def test_relocate_does_not_move_a_root_whose_name_only_begins_the_same(library, zoo, tiny, tmp_path):
    write_image(tmp_path / "zoom" / "a.png", 80)
    index(tmp_path / "zoom", library, models=MODELS, host=tiny)
    assert relocate(zoo, zoo.rename(tmp_path / "farm"), library) == 7
    assert library.roots == [str(tmp_path / "farm"), str(tmp_path / "zoom")]


def test_relocate_refuses_a_place_that_was_indexed_and_moves_nothing(library, zoo, tiny, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for i, folder in enumerate((a / "x", a / "y", b / "y")):
        write_image(folder / "p.png", 90 + i)
        index(folder, library, models=MODELS, host=tiny)
    roots = library.roots
    with pytest.raises(LibraryError, match="b/y: is in the library already"):
        relocate(a, b, library)
    assert library.roots == roots


def test_relocate_refuses_a_folder_that_was_never_indexed(library, zoo, tmp_path):
    with pytest.raises(LibraryError, match="expected an indexed folder or one above it; there are .*zoo"):
        relocate(tmp_path / "nothing", zoo, library)


def test_relocate_refuses_a_new_place_that_is_not_a_folder(library, zoo, tmp_path):
    with pytest.raises(LibraryError, match="nowhere: expected the folder that the files are in now"):
        relocate(zoo, tmp_path / "nowhere", library)


# -- a library by its path ---------------------------------------------------------------------------------------------


def test_every_function_takes_a_library_by_its_path(zoo, tiny, tmp_path):
    where = tmp_path / "by path"
    index(zoo, where, models=MODELS, host=tiny)
    assert stats(where).items == 7 and check(str(where)) == []
    assert forget_space("loudness.tiny", where) == 2
    assert [item.path for item in forget(zoo / "copy.png", where)] == ["copy.png"]
    (zoo / "cats" / "1.png").unlink()
    assert [item.path for item in forget_missing(where)] == ["cats/1.png"]
    assert relocate(zoo, zoo.rename(tmp_path / "farm"), where) == 5
    assert stats(where).roots == (str(tmp_path / "farm"),) and check(where) == []


@pytest.mark.parametrize("call", [stats, check, lambda path: forget("x", path), forget_missing])
def test_a_path_without_a_library_is_refused(tmp_path, call):
    with pytest.raises(LibraryError, match="no library at"):
        call(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


# -- the commands ------------------------------------------------------------------------------------------------


def test_the_commands_print_what_they_did(command, library, zoo, tmp_path):
    where = ("-l", tmp_path / "lib")
    done = command("forget", zoo / "cats" / "1.png", *where)
    assert (done.returncode, done.stdout) == (0, "forgot cats/1.png\n1 item forgotten\n")
    shutil.rmtree(zoo / "cats")
    (zoo / "copy.png").unlink()
    refused = command("forget", "--missing", *where)
    assert refused.returncode == 2 and refused.stderr.startswith("sightsound: ") and "--yes" in refused.stderr
    assert command("forget", "--missing", "--yes", *where).stdout.splitlines()[-1] == "4 items forgotten"
    new = zoo.rename(tmp_path / "farm")
    assert command("relocate", zoo, new, *where).stdout == f"2 items are below {new} now\n"
    assert command("forget", *where).returncode == command("forget", new, "--missing", *where).returncode == 2


# -- many items ------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    """A library of files in folders of similar names, without rows."""
    names = [f"{folder}/{i}.png" for folder in ("a", "ab", "a/b", "a/bc", "a b") for i in range(40)]
    with Library(tmp_path / "lib", create=True) as library, library.writing() as writer:
        space = Space("net.made", json.dumps({"dim": 4, "modality": "image", "stages": []}))
        ids = writer.space_id(space), writer.space_id(replace(space, name="net.other"))
        for number, name in enumerate(names):
            item = Item(str(tmp_path / "media"), name)
            writer.items.record(item, (0, 0), hashlib.sha256(name.encode()).digest(), "image")
            flags = [("padded", "silent"), ("padded",), ()][number % 3]
            for id_ in ids:
                status = "no-windows" if number % 5 else "failed"
                writer.outcomes.record(Outcome(item, status, "why", flags=flags[id_ - 1 :], seconds=2.0), id_)
            writer.items.label(writer.items.id(item), "who", ["Tom", str(number % 2)])
    return tmp_path / "lib"


@pytest.mark.parametrize(
    ("paths", "count"),
    [(["a"], 120), (["a/b"], 40), (["a/b", "a/b/", "ab/../ab"], 80), (["a b/7.png"], 1), ([""], 200)],
)
def test_forget_takes_what_is_at_or_below_a_path_and_no_similar_name(many, tmp_path, paths, count):
    gone = forget([tmp_path / "media" / path for path in paths], many)
    assert len(gone) == len({item.id for item in gone}) == count
    with Library(many) as library:
        assert len(library) == 200 - count


def test_forget_of_everything_below_the_top_folder(many):
    assert len(forget("/", many)) == 200


def test_each_folder_is_looked_into_once(many, tmp_path, monkeypatch):
    for i in range(1000):
        (tmp_path / "media" / "a" / f"there{i}").mkdir(parents=True)
    with Library(many) as library:
        missing = [replace(item, path=f"a/{i}/x.png") for i, item in enumerate(library.items())]
    looked, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looked.append(folder) or scandir(folder))
    monkeypatch.setattr(os, "listdir", lambda folder: looked.append(folder) or [])
    assert maintenance._empty_folder(str(tmp_path / "media"), missing) is None
    assert looked == [str(tmp_path / "media" / "a")]


def test_stats_count_items_and_not_outcomes(many):
    found = stats(many)
    assert found.items == 200 and len(found.failed) == 80
    assert found.outcomes == {
        (space, status): count
        for space in ("net.made", "net.other")
        for status, count in (("failed", 40), ("no-windows", 160))
    }
    assert found.flags == {"padded": 134, "silent": 67}
    assert found.labels == {("who", "Tom"): 200, ("who", "0"): 100, ("who", "1"): 100}
    assert found.seconds == {"net.made": 400.0, "net.other": 400.0}
