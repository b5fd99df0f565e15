"""A large library against raw FAISS: opening, searching, filters, removed rows, many queries together, and adding.

    python tests/benchmarks/library.py [--rows 600000] [--dim 1024] [--folder FOLDER] [--rounds 5] [--dtype f32]

The library has recordings of 125 windows each, with random vectors. Printed are:

    add         rows a second through the writer, committed, against writing and syncing the same bytes alone
    first       in a new process: seconds from the imports to the first answer, and its anonymous memory
    search      one query against `IndexFlatIP.search` over the same rows in memory, in turn
    filtered    the same with a filter that keeps one item in a hundred
    together    1,000 queries at once against `IndexFlatIP.search`
    forgotten   both again after one recording in a hundred was forgotten
    unchanged   `index` over files that are known, 100,000 of them

Run it where the folder is on a local disk. The files are removed at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sightsound import Filter, Host, Item, Library, index
from sightsound._threads import cores
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library.query_types import QueryVectors

WINDOWS = 125
BLOCK = 20_000
QUERIES = 1000

FIRST = """
import sys, time, json
import numpy as np
from sightsound import Library
import sightsound.library.library
query = np.load(sys.argv[2])
before = time.perf_counter()
with Library(sys.argv[1]) as library:
    (space,) = library.spaces
    hits = library.search({space: query}, 10)
seconds = time.perf_counter() - before
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({"seconds": seconds, "hits": len(hits), "anonymous": int(status["RssAnon"].split()[0]) / 1e3}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        place = Path(folder)
        measure(place, options)
        if options.files:
            unchanged(place, options.files)


def measure(place: Path, options: argparse.Namespace) -> None:
    space = Space("net.made", json.dumps({"dim": options.dim, "modality": "sound", "stages": []}))
    print(f"{options.rows:,} x {options.dim} rows, {cores()} cores")
    add(place / "lib", space, options)
    queries = next(blocks(QUERIES, options.dim, seed=1))
    first(place, queries[:1])
    faiss: Any = importlib.import_module("faiss")
    faiss.omp_set_num_threads(cores())
    raw = faiss.IndexFlatIP(options.dim)
    for rows in blocks(options.rows, options.dim):
        raw.add(rows)
    with Library(place / "lib") as library:
        search(library, space, raw, queries, options.rounds, "")
        with library.writing() as writer:
            writer.forget([item.id for item in library.items() if item.id and item.id % 100 == 0])
        search(library, space, raw, queries, options.rounds, "forgotten, ")


def blocks(count: int, dim: int, seed: int = 0) -> Iterator[Any]:
    """Yield random rows of length 1, the same for the same seed."""
    random = np.random.default_rng(seed)
    for first in range(0, count, BLOCK):
        rows = random.standard_normal((min(BLOCK, count - first), dim), dtype=np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def add(where: Path, space: Space, options: argparse.Namespace) -> None:
    """Add all rows as recordings, block by block in turn with writing and syncing the same bytes alone."""
    ours, alone, number = 0.0, 0.0, 0
    with (
        Library(where, create=True) as library,
        library.writing() as writer,
        (where.parent / "alone").open("wb") as file,
    ):
        id_ = writer.space_id(space)
        for rows in blocks(options.rows, options.dim):
            before = time.perf_counter()
            for first in range(0, len(rows), WINDOWS):
                part = rows[first : first + WINDOWS]
                item = Item("/made", f"{number % 100:02}/{number}.wav")
                writer.items.record(item, (0, 0), hashlib.sha256(str(number).encode()).digest(), "sound")
                spans = np.stack([np.arange(len(part)), np.arange(len(part)) + 1.0], axis=1)
                writer.add_rows(Rows(item, spans, part), id_)
                writer.outcomes.record(Outcome(item, "ok", seconds=float(len(part))), id_)
                number += 1
            writer.commit()
            middle = time.perf_counter()
            file.write(rows.data)
            file.flush()
            os.fsync(file.fileno())
            ours, alone = ours + middle - before, alone + time.perf_counter() - middle
    (where.parent / "alone").unlink()
    figures = f"{options.rows / ours:,.0f} rows a second, alone {options.rows / alone:,.0f}"
    print(f"add: {figures}; ratio {alone / ours:.2f} (target: 0.6)")


def first(place: Path, query: Any) -> None:
    np.save(place / "query.npy", query)
    found = []
    for _ in range(3):
        words = [sys.executable, "-c", FIRST, place / "lib", place / "query.npy"]
        found.append(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
    seconds = statistics.median(each["seconds"] for each in found)
    memory = statistics.median(each["anonymous"] for each in found)
    print(f"first: {seconds:.2f} s (target: 0.5), {memory:.0f} MB anonymous (target: 200)")


def search(library: Library, space: Space, raw: Any, queries: Any, rounds: int, name: str) -> None:
    """Time searches in turn with raw FAISS."""
    one, many = queries[:1], [QueryVectors({space: query[None]}) for query in queries]
    few = Filter(paths=("07/*",))
    library.search({space: one}, 10)
    for what, ours, peer in (
        ("search", lambda: library.search({space: one}, 10), lambda: raw.search(one, 10)),
        ("filtered", lambda: library.search({space: one}, 10, where=few), lambda: raw.search(one, 10)),
        (f"{len(many):,} together", lambda: library.search_many(many, 10), lambda: raw.search(queries, 10)),
    ):
        times = [(timed(ours), timed(peer)) for _ in range(rounds if "together" not in what else 3)]
        mine, other = (statistics.median(each) for each in zip(*times))
        ratio = statistics.median(a / b for a, b in times)
        print(f"{name}{what}: {mine:.3f} s, raw FAISS {other:.3f} s; ratio {ratio:.2f} times its time")


def timed(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def unchanged(place: Path, count: int) -> None:
    """Time `index` over text files that are known; they are looked at as images and sounds are."""
    for number in range(count):
        folder = place / "files" / f"{number // 1000}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number}.txt").write_text(str(number))
    host = Host()
    before = timed(lambda: index(place / "files", place / "many", host=host))
    seconds = timed(lambda: index(place / "files", place / "many", host=host))
    print(f"unchanged: {count:,} files in {seconds:.1f} s (target: 5), at first {before:.1f} s")
    shutil.rmtree(place / "files")


if __name__ == "__main__":
    main()
