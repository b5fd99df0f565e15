"""A library behind its own back: its database, its bytes, and copies of it in places with other permissions."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from sightsound import Library
from sightsound.library.store.segments import RECORD

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions or file names")


@contextlib.contextmanager
def raw_database(where):
    """The SQLite database of a library."""
    db = sqlite3.connect(where / "library.sqlite", isolation_level=None)
    try:
        yield db
    finally:
        db.close()


def file_bytes(where):
    """The bytes of the database file."""
    return (where / "library.sqlite").read_bytes()


def segment(where, space, dim):
    """The number of the first segment of a space, and its vectors and records, mapped for changing them on disk."""
    with raw_database(where) as db:
        query = "SELECT id, name, rows FROM segments WHERE space = ? ORDER BY id"
        id_, name, rows = db.execute(query, (space,)).fetchone()
    vectors = np.memmap(where / f"library.{name}.f32", np.float32, "r+", shape=(rows, dim))
    return id_, vectors, np.memmap(where / f"library.{name}.records", RECORD, "r+", shape=rows)


def all_rows(library):
    """The rows and seconds of every content, by its SHA-256 and the name of the space."""
    found = {}
    for space in library.spaces:
        for (hash_,) in library.rows("SELECT hash FROM contents"):
            stored = library.vectors(space, hash_)
            if stored is not None:
                found[hash_.hex(), space.name] = stored
    return found


def mount(*words):
    """Run mount, or skip the test with the message of mount."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("needs to mount, which takes root on Linux")
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")


@contextlib.contextmanager
def public_copy(where):
    """A copy of a library in a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        place = Path(shutil.copytree(where, Path(folder, "lib")))
        place.chmod(0o755)
        try:
            yield place
        finally:
            place.chmod(0o755)


def item_id(library, path):
    """The id of the item of a path."""
    return next(each.id for each in library.items() if each.path == path)


def labels_of(where):
    """Path -> column -> labels, of all items of a library."""
    with Library(where) as library:
        return {each.path: library.labels(each.id) for each in library.items()}


def ranges_of(where, path="dogs/0.wav"):
    """The time ranges of the item of a path."""
    with Library(where) as library:
        return library.ranges(item_id(library, path))
