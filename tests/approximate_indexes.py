"""Libraries of made-up rows, and approximate indexes of them, for the tests of these."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from sightsound import Item, Library
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library import vector_search
from sightsound.library.approximate import list_files, measuring
from sightsound.library.store import segments, user_key

DIM = 24
SPACE = Space("net.made", json.dumps({"dim": DIM, "modality": "image", "stages": []}))
ROWS_OF_A_SEGMENT = 1200


def make_small(monkeypatch, tmp_path):
    """Small indexes, several segments and files of lists, and a key of the test's own."""
    monkeypatch.setenv("SIGHTSOUND_THREADS", "1")
    monkeypatch.setattr(measuring, "HELD_OUT", 15)
    monkeypatch.setattr(vector_search, "FEW_ROWS", 30)
    monkeypatch.setattr(segments, "MAX_BYTES", 4 * DIM * ROWS_OF_A_SEGMENT)
    monkeypatch.setattr(list_files, "GATHERED_BYTES", 30_000)
    monkeypatch.setattr(user_key, "key_file", lambda: tmp_path / "data" / "index.key")


def library_of(count, folder):
    """The folder of a library of so many rows in small segments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "MAX_BYTES", 4 * DIM * ROWS_OF_A_SEGMENT)
        with Library(folder / "lib", create=True) as library:
            add(library, clustered(count))
    return library.path


def files_read(monkeypatch):
    """A list to which each file is added that FAISS is given to read."""
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


def found(library, query, k=10, **how):
    return [(int(hit.item.path), hit.score) for hit in library.search({SPACE: np.atleast_2d(query)}, k, **how)]


def paths(library, query, k=10, **how):
    return [path for path, _ in found(library, query, k, **how)]


def index_of(where):
    (file,) = where.glob("library.*.index")
    return file


def flip(file):
    """Change a byte in place."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    with file.open("r+b") as opened_:
        opened_.write(data)
