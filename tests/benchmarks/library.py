"""A large library against raw FAISS: opening, searching, filters, removed rows, many queries together, and adding.

    python tests/benchmarks/library.py [--rows 600000] [--dim 1024] [--folder FOLDER] [--rounds 5] [--store f32]

The library has recordings of 125 windows each, with random vectors. Printed are:

    add         rows a second through the writer, committed, against writing and syncing the same bytes alone
    first       in a new process: seconds from the imports to the first answer, and its anonymous memory
    search      one query against `IndexFlatIP.search` over the same rows in memory, in turn
    filtered    the same with a filter that keeps one item in a hundred
    together    1,000 queries at once against `IndexFlatIP.search`
    forgotten   both again after one recording in a hundred was forgotten
    unchanged   `index` over files that are known, 100,000 of them

    python tests/benchmarks/library.py --large 5000000 --seed-rows ROWS.npz [--kind ivf-sq8] [--folder FOLDER]

measures an approximate index instead. Its rows are made of real ones, those of `sightsound embed --out` (.npz) or an
array (.npy): each is w a + (1 - w) b + e, scaled to length 1, of two real rows a and b of length 1 that are chosen at
random, a random weight w from 0.5 to 1, and noise e of normal numbers whose expected length is 0.3. So they keep the
uneven density of real rows, and every one has neighbours. `--windows` of them (20) are a recording. Printed are:

    build       seconds of `build_index`, peak of the anonymous memory of its process, and of all with mapped files
    stated      recall that was measured when it was built
    open        in a new process: seconds from a library that is open to its first answer, with the index opened
    memory      anonymous memory of that process after 100 searches
    search      milliseconds of a search through the index, median of 100, and of an exact one, median of 3
    recall      recall@10 of these searches, for rows that are made in the same way and are not in the library

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
from sightsound.library.store.writer import Writer

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


BUILD = """
import sys, threading, time, json
from sightsound import build_index
peaks, done = {"RssAnon": 0, "VmRSS": 0}, threading.Event()
def watch():
    while not done.wait(0.1):
        status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
        for name in peaks: peaks[name] = max(peaks[name], int(status[name].split()[0]) / 1e3)
watching = threading.Thread(target=watch); watching.start()
before = time.perf_counter()
(found,) = build_index(sys.argv[1], kind=sys.argv[2]).values()
seconds = time.perf_counter() - before
done.set(); watching.join()
print(json.dumps({"seconds": seconds, **peaks, **vars(found)}))
"""

ASK = """
import sys, time, json
import numpy as np
from sightsound import Library
queries = np.load(sys.argv[2])
with Library(sys.argv[1]) as library:
    (space,) = library.spaces
    before = time.perf_counter()
    library.search({space: queries[:1]}, 10)
    first, times, found = time.perf_counter() - before, [], []
    assert library.approximated
    for query in queries:
        before = time.perf_counter()
        found.append([hit.item.path for hit in library.search({space: query[None]}, 10)])
        times.append(time.perf_counter() - before)
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    print(json.dumps({"first": first, "ms": 1e3 * float(np.median(times)), "found": found,
                      "anonymous": int(status["RssAnon"].split()[0]) / 1e3}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", choices=["f32", "f16"], default="f32")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--large", type=int)
    parser.add_argument("--seed-rows", type=Path)
    parser.add_argument("--kind", default="auto")
    parser.add_argument("--windows", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        place = Path(folder)
        if options.large:
            large(place, options)
            return
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


def add_recording(writer: Writer, space: int, item: Item, rows: Any) -> None:
    """Add a recording with a window a second."""
    writer.items.record(item, (0, 0), hashlib.sha256(item.path.encode()).digest(), "sound")
    spans = np.stack([np.arange(len(rows)), np.arange(len(rows)) + 1.0], axis=1)
    writer.add_rows(Rows(item, spans, rows), space)
    writer.outcomes.record(Outcome(item, "ok", seconds=float(len(rows))), space)


def add(where: Path, space: Space, options: argparse.Namespace) -> None:
    """Add all rows as recordings, block by block in turn with writing and syncing the same bytes alone."""
    ours, alone, number = 0.0, 0.0, 0
    with (
        Library(where, create=True) as library,
        library.writing() as writer,
        (where.parent / "alone").open("wb") as file,
    ):
        writer.set_store(options.store)
        id_ = writer.space_id(space)
        for rows in blocks(options.rows, options.dim):
            before = time.perf_counter()
            for first in range(0, len(rows), WINDOWS):
                part = rows[first : first + WINDOWS]
                add_recording(writer, id_, Item("/made", f"{number % 100:02}/{number}.wav"), part)
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


def large(place: Path, options: argparse.Namespace) -> None:
    """Measure an approximate index of rows that are spread from real ones."""
    real = real_rows(options.seed_rows)
    space = Space("net.made", json.dumps({"dim": real.shape[1], "modality": "sound", "stages": []}))
    print(f"{options.large:,} x {real.shape[1]} rows, of {len(real):,} real ones, {cores()} cores")
    began = time.perf_counter()
    with Library(place / "lib", create=True) as library, library.writing() as writer:
        id_, number = writer.space_id(space), 0
        for rows in spread(real, options.large, seed=0):
            for first in range(0, len(rows), options.windows):
                part = rows[first : first + options.windows]
                add_recording(writer, id_, Item("/made", f"{number % 1000:03}/{number}.wav"), part)
                number += 1
            writer.commit()
    print(f"written in {time.perf_counter() - began:.0f} s", flush=True)
    words = [sys.executable, "-c", BUILD, place / "lib", options.kind]
    built = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
    print(
        f"build: {built['kind']} in {built['seconds']:.0f} s, {built['bytes'] / 1e9:.2f} GB, "
        f"peak {built['RssAnon']:.0f} MB anonymous (target: 4,000), {built['VmRSS']:.0f} MB with mapped files"
    )
    print(f"stated: {built['recall']}, {built['parameters']}", flush=True)
    queries = next(spread(real, 100, seed=1))
    np.save(place / "queries.npy", queries)
    words = [sys.executable, "-c", ASK, place / "lib", place / "queries.npy"]
    asked = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
    print(f"open: {asked['first']:.2f} s (target: 1)")
    print(f"memory: {asked['anonymous']:.0f} MB anonymous (target: 1,000)")
    with Library(place / "lib") as library:
        many = [QueryVectors({space: query[None]}) for query in queries]
        exact = [{hit.item.path for hit in hits} for hits in library.search_many(many, 10, exact=True)]
        seconds = [timed(lambda: library.search({space: queries[:1]}, 10, exact=True)) for _ in range(3)]
    print(f"search: {asked['ms']:.1f} ms, exact {1e3 * statistics.median(seconds):.0f} ms")
    shares = [len(wanted & set(found)) / 10 for wanted, found in zip(exact, asked["found"])]
    print(f"recall: {statistics.mean(shares):.3f}")


def real_rows(file: Path) -> Any:
    """Return the rows of a file, of length 1."""
    found = np.load(file)
    if not isinstance(found, np.ndarray):
        found = found[next(name for name in found.files if found[name].ndim == 2 and found[name].dtype.kind == "f")]
    rows = found.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]


def spread(real: Any, count: int, seed: int) -> Iterator[Any]:
    """Yield rows that are mixed of random pairs of real ones, with noise; the same for the same seed."""
    random, dim = np.random.default_rng(seed), real.shape[1]
    for first in range(0, count, BLOCK):
        size = min(BLOCK, count - first)
        one, two = real[random.integers(len(real), size=(2, size))]
        weight = random.uniform(0.5, 1, (size, 1)).astype(np.float32)
        rows = weight * one + (1 - weight) * two
        rows += np.float32(0.3 / np.sqrt(dim)) * random.standard_normal((size, dim), dtype=np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
