"""The library: several spaces in one place, one writer and many readers, and what `stats` counts."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from library_files import all_rows
from made import register_tints, register_variant, start_command, write_image, write_sound
from sightsound import Item, Library, LibraryError, SightsoundError, SpaceMismatch, check, index, search, stats

MODELS = ("colours.tiny", "loudness.tiny")


def test_both_modalities_and_several_models_share_one_library(where, zoo, tiny):
    index(zoo, where, models=[*MODELS, register_tints(tiny)], host=tiny)
    with Library(where) as library:
        assert {space.name: count for space, count in library.spaces.items()} == {
            "colours.tiny": 3,
            "loudness.tiny": 6,
            "tints.tiny": 3,
        }
        assert {(name, rows.shape) for (_, name), (rows, _) in all_rows(library).items()} == {
            ("colours.tiny", (1, 48)),
            ("loudness.tiny", (3, 17)),
            ("tints.tiny", (1, 12)),
        }
        assert library.roots == [str(zoo)]
        assert library.item(1) == Item(str(zoo), "cats/0.png", 1)


def test_stats_counts_items_outcomes_vectors_labels_and_seconds(where, zoo, tiny):
    (zoo / "text").write_text("hello")
    (zoo / "cut.png").write_bytes((zoo / "cats" / "0.png").read_bytes()[:50])
    index(zoo, where, models=MODELS, host=tiny, label_from="folder")
    with Library(where) as library:
        found = stats(library)
    assert (found.items, found.roots) == (7, (str(zoo),))
    assert found.outcomes == {
        ("colours.tiny", "ok"): 3,
        ("colours.tiny", "failed"): 1,
        ("loudness.tiny", "ok"): 2,
        ("", "not-media"): 1,
    }
    assert {name: (dim, count) for name, (_, dim, count) in found.spaces.items()} == {
        "colours.tiny": (48, 3),
        "loudness.tiny": (17, 6),
    }
    assert found.labels == {("label", "cats"): 3, ("label", "dogs"): 2, ("label", "zoo"): 1}
    assert found.seconds == {"loudness.tiny": 4}
    assert [outcome.item.path for outcome in found.failed] == ["cut.png"]


def test_vectors_of_another_space_are_refused(where, tiny):
    with Library(where) as library:
        with pytest.raises(SpaceMismatch, match="lib has no vectors in space 'tints.tiny'; it has 'colours.tiny'"):
            library.search({tiny.space(register_tints(tiny)): np.ones((1, 12), np.float32)})
        with pytest.raises(SightsoundError, match=r"expected rows of 48 numbers for colours.tiny, got \(1, 12\)"):
            library.search({tiny.space("colours.tiny"): np.ones((1, 12), np.float32)})


# -- one writer, many readers ------------------------------------------------------------------------------------------


def test_the_error_of_a_second_writer_names_the_first_process(where, zoo, command):
    with Library(where) as library, library.writing():
        done = command("forget", zoo / "cats", "-l", where, process=True)
        assert done.returncode == 2
        assert f"lib: process {os.getpid()} on " in done.stderr
        assert done.stderr.rstrip().endswith("is writing to it; wait until it is done, or stop it")
        assert command("search", zoo / "cats" / "0.png", "-l", where, process=True).returncode == 0
    assert command("forget", zoo / "cats", "-l", where).returncode == 0


def test_a_second_writer_in_the_same_process_is_refused(where):
    with Library(where) as one, Library(where) as two, one.writing():
        with pytest.raises(LibraryError, match=f"process {os.getpid()} on "), two.writing():
            pass
        with pytest.raises(LibraryError, match="is writing to it"), one.writing():
            pass


def test_a_killed_writer_releases_the_lock(install, command, zoo, tmp_path):
    words = ("index", zoo, "-l", tmp_path / "lib", "-m", "colours.tiny")
    Library(tmp_path / "lib", create=True).close()  # the lock is taken and released once for this alone
    running = start_command(install("tiny"), *words, TINY_SECONDS="20")
    while running.poll() is None and not (tmp_path / "lib" / "writer.json").exists():
        time.sleep(0.01)
    busy = command(*words)
    if "another process" in busy.stderr:  # it had the lock, and had not said so yet
        busy = command(*words)
    assert busy.returncode == 2 and f"process {running.pid} on " in busy.stderr
    running.kill()
    running.communicate()
    assert command(*words).returncode == 0


@pytest.mark.parametrize(
    "text", ["[]", "{}", "7", "", '{"pid": 1, "host": "x", "since": 1e300}', '{"pid": 1, "host": "x", "since": "now"}']
)
def test_the_error_of_a_second_writer_does_not_depend_on_what_writer_json_holds(where, text):
    with Library(where) as one, Library(where) as two, one.writing():
        (where / "writer.json").write_text(text)
        with pytest.raises(LibraryError, match="another process is writing to it"), two.writing():
            pass


def test_a_writer_json_that_cannot_be_removed_does_not_fail_the_run(where, monkeypatch):
    def unlink(path, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Library(where) as library:
        with library.writing() as writer:
            monkeypatch.setattr(Path, "unlink", unlink)
            assert writer.forget([1]) == 1
        monkeypatch.undo()
        assert [item.id for item in library.items()] == [2, 3, 4, 5]
        with library.writing() as writer:
            assert writer.forget([2]) == 1


def test_readers_see_the_last_commit_while_a_writer_works(where, zoo, tiny):
    query = zoo / "cats" / "0.png"
    with Library(where) as library, Library(where) as reader:
        with library.writing() as writer:
            writer.forget([2])
            assert len(search(query, reader, host=tiny)) == len(search(query, library, host=tiny)) == 2
            with Library(where) as late:
                assert len(search(query, late, host=tiny)) == 2
            writer.commit()
            assert len(search(query, reader, host=tiny)) == 1
            writer.forget([3])
        assert search(query, reader, host=tiny) == search(query, library, host=tiny) == []


def test_reading_in_another_thread_is_refused_with_the_reason(where):
    errors = []

    def read():
        try:
            library.items()
        except LibraryError as error:
            errors.append(str(error))

    with Library(where) as library:
        assert len(library.items()) == 5
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert len(errors) == 1 and errors[0].endswith("; use a library in the thread that opened it")


def test_an_error_while_writing_undoes_what_was_not_committed(where, zoo):
    with Library(where) as library:
        with contextlib.suppress(RuntimeError), library.writing() as writer:
            writer.forget([1])
            writer.commit()
            writer.forget([2])
            raise RuntimeError("no")
        assert [item.id for item in library.items()] == [2, 3, 4, 5]


def test_searches_during_indexing_find_complete_items_only(zoo, tiny, tmp_path):
    for i in range(30):
        write_sound(zoo / "dogs" / f"more{i}.wav", 100 + i, seconds=4)
    name = register_variant(tiny, "slow.tiny", "loudness.tiny", batch_size=3, workers=2)
    index(zoo / "dogs" / "0.wav", tmp_path / "lib", models=[name], host=tiny)
    done, counts, failures = threading.Event(), [], []

    def look():
        with Library(tmp_path / "lib") as library:
            ((space),) = library.spaces
            while not done.is_set():
                try:
                    hits = library.search({space: np.ones((1, 17), np.float32)}, 100)
                    counts.append(len(hits))
                    for hit in hits:
                        rows, _ = library.vectors(space, library.content(hit.item.id))
                        assert len(rows) == (3 if hit.item.path in ("0.wav", "1.wav") else 7), hit.item
                except Exception as error:
                    failures.append(error)
                    return

    reader = threading.Thread(target=look)
    reader.start()
    try:
        index(zoo / "dogs", tmp_path / "lib", models=[name], host=tiny)
    finally:
        done.set()
        reader.join()
    assert failures == [] and counts == sorted(counts)


def test_rows_that_a_crash_left_incomplete_are_not_found_and_the_next_writer_overwrites_them(where, zoo, tiny):
    (file,) = (path for path in where.glob("library.*.f32") if path.stat().st_size == 3 * 192)
    with file.open("ab") as opened:
        opened.write(bytes(192 + 10))
    (where / f"library.{'0' * 16}.f32").write_bytes(bytes(1000))
    with Library(where) as library:
        assert {space.name: n for space, n in library.spaces.items()}["colours.tiny"] == 3
        assert len(search(np.ones(48), library, host=tiny)) == 3
        assert check(library) == []
        write_image(zoo / "new.png", 70)
        assert index(zoo, library, models=MODELS, host=tiny).counts == {"ok": 1, "unchanged": 5}
        assert len(search(np.ones(48), library, host=tiny)) == 4
        assert check(library) == []
    assert sorted(path.stat().st_size for path in where.glob("library.*.f32")) == [6 * 68, 4 * 192 + 10]


def test_a_library_is_shown_by_its_path_and_counts_its_items(tiny, tmp_path):
    with Library(tmp_path / "empty", create=True) as empty:
        assert (len(empty), bool(empty), repr(empty)) == (0, True, f"Library('{tmp_path}/empty')")
    write_image(tmp_path / "a.png", 1)
    index(tmp_path / "a.png", tmp_path / "lib", models=["colours.tiny"], host=tiny)
    with Library(tmp_path / "lib") as library:
        assert len(library) == 1
    assert repr(library) == f"Library('{tmp_path}/lib')", "closed too"
