"""Killed runs, a full database and a full disk: the library stays sound, and the next run completes it."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from library_files import all_rows, mount
from made import register_variant, start_command, write_image, write_sound
from sightsound import Library, LibraryError, check, index, search, stats

BATCH_SECONDS = "0.1"  # so that a run of about 13 batches in two workers lasts long enough to be killed
MODELS = ("colours.tiny", "loudness.tiny")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Images, recordings of several windows, a copy, a text and a broken file."""
    folder = tmp_path_factory.mktemp("crash") / "zoo"
    for i in range(24):
        write_image(folder / "cats" / f"{i:02}.png", i)
    for i in range(12):
        write_sound(folder / "dogs" / f"{i:02}.wav", i, seconds=3)
    (folder / "copy.png").write_bytes((folder / "cats" / "05.png").read_bytes())
    (folder / "text").write_text("hello")
    (folder / "cut.png").write_bytes((folder / "cats" / "01.png").read_bytes()[:70])
    return folder


def content(where):
    """Every outcome with its path, content and space, and its vectors with their seconds; the library must be sound."""
    with Library(where) as library:
        assert check(library) == []
        query = (
            "SELECT i.path, lower(hex(c.hash)), coalesce(s.name, ''), o.status, o.reason, o.flags, o.seconds"
            " FROM outcomes o JOIN items i ON i.id = o.item LEFT JOIN contents c ON c.id = o.content"
            " LEFT JOIN spaces s ON s.id = o.space"
        )
        stored, found = all_rows(library), {}
        for facts in library.rows(query):
            rows, spans = stored.get((facts[1], facts[2]), ((), None))
            seconds = None if spans is None else spans.tolist()
            found[facts[0], facts[2]] = facts, seconds, [row.astype(np.float64) for row in rows]
        return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, (facts, seconds, vectors) in expected.items():
        assert found[key][:2] == (facts, seconds), key
        for mine, other in zip(found[key][2], vectors, strict=True):
            assert mine @ other >= 0.999999 * np.linalg.norm(mine) * np.linalg.norm(other), key


@pytest.fixture
def complete(tiny, zoo, tmp_path):
    index(zoo, tmp_path / "complete", models=MODELS, host=tiny)
    return content(tmp_path / "complete")


def words(zoo, where):
    return ("index", zoo, "-l", where, "-m", "colours.tiny", "-m", "loudness.tiny")


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_any_moment_is_completed_by_the_next(install, tiny, zoo, tmp_path, complete, kills):
    """Kills at random moments, spread from the start to the end of a run.

    Some libraries are killed more than once before they are completed. Every second one begins with older content of
    every third file, which must be found until the new content is complete.
    """
    old = older(tiny, zoo, tmp_path)
    began = time.monotonic()
    whole = start_command(install("tiny"), *words(zoo, tmp_path / "timed"), TINY_SECONDS=BATCH_SECONDS)
    whole.communicate(timeout=60)
    lasts, chance, killed, runs, where = time.monotonic() - began, random.Random(20), 0, 0, None
    while killed < kills:
        assert runs < 2 * kills, f"only {killed} of {runs} runs were killed"
        if where is None:
            where = tmp_path / f"lib{runs}"
            before = len(shutil.copytree(old, where) and content(where)) if runs % 2 else 0
        running = start_command(install("tiny"), *words(zoo, where), TINY_SECONDS=BATCH_SECONDS)
        time.sleep(lasts * (killed + chance.random()) / kills)
        through = running.poll() is not None
        lasts *= 0.85 if through else 1  # the clock ran slower, or less was left to do
        running.kill()
        running.communicate(timeout=10)
        runs, killed = runs + 1, killed + (not through)
        if (where / "library.sqlite").exists():
            found = content(where)
            assert len(found) >= before, "what was there before can be found until it is replaced"
            assert all(vectors for facts, _, vectors in found.values() if facts[3] == "ok")
        if through or runs % 3 == 0:
            index(zoo, where, models=MODELS, host=tiny)
            assert_same(content(where), complete)
            where = None
    if where is not None:
        index(zoo, where, models=MODELS, host=tiny)
        assert_same(content(where), complete)


def older(tiny, zoo, tmp_path):
    """A library of the same folder at a time when every third file had other content."""
    then = shutil.copytree(zoo, tmp_path / "then")
    for i, file in enumerate(sorted(path for path in then.rglob("*.*") if path.name != "cut.png")):
        if i % 3 == 0:
            write_image(file, 500 + i) if file.suffix == ".png" else write_sound(file, 500 + i, seconds=5)
    aside = zoo.rename(zoo.parent / "aside")
    try:
        then.rename(zoo)
        index(zoo, tmp_path / "old", models=MODELS, host=tiny)
        shutil.rmtree(zoo)
    finally:
        aside.rename(zoo)
    return tmp_path / "old"


def test_a_kill_loses_only_the_items_that_were_being_processed(install, tiny, zoo, tmp_path):
    where = tmp_path / "lib"
    running = start_command(install("tiny"), *words(zoo, where), TINY_SECONDS=BATCH_SECONDS)
    while len(done(where)) < 8:
        assert running.poll() is None
        time.sleep(0.01)
    before = done(where)
    running.kill()
    running.communicate()
    report = index(zoo, where, models=MODELS, host=tiny)
    assert before <= done(where) and report.counts["unchanged"] >= 8


def done(where):
    """The paths with an outcome, as a reader sees them while the run goes on."""
    try:
        with Library(where) as library:
            return {outcome.item.path for outcome, _ in library.outcomes()}
    except LibraryError:
        return set()


# -- no room --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 2, 6, 12, 39])
def test_after_the_largest_size_was_reached_the_next_run_completes_the_library(tiny, tmp_path, rows):
    """Each vector has 32 kB, the rest of the library much less."""
    folder, where = tmp_path / "in", tmp_path / "lib"
    for i in range(40):
        write_image(folder / f"{i:02}.png", i)
    (tmp_path / "first").mkdir()
    write_image(tmp_path / "first" / "a.png", 100)
    name = wide(tiny)
    index(tmp_path / "first", where, models=[name], host=tiny)
    most = stats(where).bytes + rows * (32768 + 32)
    with pytest.raises(LibraryError) as caught:
        index(folder, where, models=[name], host=tiny, max_bytes=most)
    assert re.fullmatch(
        re.escape(f"{where}: no room left for the library (")
        + ".*"
        + re.escape("); what was committed is kept: ")
        + "free some space and run the same command again",
        str(caught.value),
    )
    assert stats(where).bytes <= most + 300_000  # of the database
    with Library(where) as library:
        assert check(library) == []
        kept = {item.path for item in library.items()}
        assert "a.png" in kept
        assert search(np.ones(8192), library, host=tiny, k=100)
    report = index(folder, where, models=[name], host=tiny)
    assert report.counts["ok"] + report.counts["unchanged"] == 40
    with Library(where) as library:
        assert check(library) == []
        assert len(search(np.ones(8192), library, host=tiny, k=100)) == 41


def wide(tiny):
    from sightsound import Output

    def embed(inner, inputs):
        return Output(np.resize(inputs.reshape(len(inputs), -1), (len(inputs), 8192)).astype(np.float32))

    return register_variant(
        tiny, "wide.tiny", facts={"dim": 8192}, embed=embed, postprocess=lambda inner, output: output.embeddings
    )


@pytest.fixture
def small(tmp_path):
    """A file system of 1.6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=1600k", "tmpfs", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.root
def test_after_a_full_disk_the_next_run_completes_the_library(tiny, tmp_path, small):
    folder, where = tmp_path / "in", small / "lib"
    for i in range(40):
        write_image(folder / f"{i:02}.png", i)
    name = wide(tiny)
    index(folder / "00.png", where, models=[name], host=tiny)
    (small / "ballast").write_bytes(bytes(500_000))
    with pytest.raises(
        LibraryError, match="no room left for the library .*what was committed is kept: free some space"
    ):
        index(folder, where, models=[name], host=tiny)
    with Library(where) as library:
        assert check(library) == []
        assert "00.png" in {hit.item.path for hit in search(np.ones(8192), library, host=tiny, k=100)}
    (small / "ballast").unlink()
    mount("-o", "remount,size=30m", small)
    report = index(folder, where, models=[name], host=tiny)
    assert report.counts["ok"] + report.counts["unchanged"] == 40
    with Library(where) as library:
        assert check(library) == [] and sum(library.spaces.values()) == 40


@pytest.mark.root
def test_a_full_disk_can_still_be_searched(tiny, tmp_path, small, command):
    folder, where = tmp_path / "in", small / "lib"
    write_image(folder / "a.png", 1)
    write_image(folder / "b.png", 2)
    index(folder, where, models=["colours.tiny"], host=tiny)
    fill(small / "ballast")
    with Library(where) as library:
        assert len(search(folder / "a.png", library, host=tiny)) == 1
        assert check(library) == []
    refused = command("index", write_image(folder / "c.png", 3), "-l", where, "-m", "colours.tiny")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1, refused.stderr
    assert "No space left" in refused.stderr or "no room left" in refused.stderr
    (small / "ballast").unlink()
    assert command("index", folder, "-l", where, "-m", "colours.tiny").returncode == 0


def fill(file: Path):
    """Fill the file system."""
    with file.open("wb", buffering=0) as opened:
        try:
            while True:
                opened.write(bytes(4096))
        except OSError:
            return
