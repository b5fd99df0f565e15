"""Near-duplicates among many images: seconds, memory and recall, in nearby lists and with all comparisons.

    python tests/benchmarks/duplicates.py [--rows 100000] [--dim 1024] [--exact] [--folder FOLDER]

The library has an image for each row. The rows are around 1,000 random centres, as those of photographs of a thousand
kinds; every tenth one is a copy of the one before it with noise, so that their cosine is about 0.98, and all others are
under the threshold of 0.95. Printed are, each of a new process:

    find        seconds of `find_duplicates` to the first group, and of all groups; seconds of the processor
    memory      the most anonymous memory of that process, without the rows, which are mapped, before and at the end
    recall      proportion of the copies in one group with their originals; as stated by `find_duplicates`
    exact       the same, comparing all rows, with `--exact`: a million rows of 1,024 take hours on two cores

Run it where the folder is on a local disk. The files are removed at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sightsound import Item, Library
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space

THRESHOLD = 0.95
BLOCK = 10_000
CENTRES = 1000

FIND = """
import json, sys, threading, time
from sightsound import find_duplicates
def anonymous():
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    return int(status["RssAnon"].split()[0]) / 1e3
peak, done, start = [anonymous()], threading.Event(), anonymous()
def watch():
    while not done.wait(0.05):
        peak[0] = max(peak[0], anonymous())
watching = threading.Thread(target=watch); watching.start()
before, processor = time.perf_counter(), time.process_time()
(found,) = find_duplicates(sys.argv[1], threshold=float(sys.argv[2]), exact=sys.argv[3] == "exact", progress=False)
first, right = time.perf_counter() - before, 0
for group in found:
    numbers = sorted(int(each.item.path) for each in group.files)
    right += len(numbers) == 2 and numbers[1] == numbers[0] + 1 and numbers[1] % 10 == 9
seconds, processor = time.perf_counter() - before, time.process_time() - processor
done.set(); watching.join()
print(json.dumps({"first": first, "seconds": seconds, "processor": processor, "start": start, "peak": peak[0],
                  "groups": found.groups, "right": right, "kind": found.kind, "recall": found.recall,
                  "measured": found.measured}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        place = Path(folder, "library")
        before = time.perf_counter()
        fill(place, options.rows, options.dim)
        print(f"made        {options.rows:,} rows of {options.dim} in {time.perf_counter() - before:.0f} s")
        if options.exact:
            report("exact", place, options.rows)
        report("find", place, options.rows)


def fill(place: Path, rows: int, dim: int) -> None:
    """Make a library of rows around centres, of which every tenth one is a copy of the one before it."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CENTRES, dim)).astype(np.float32)
    space_facts = Space("net.made", json.dumps({"dim": dim, "modality": "image", "stages": []}))
    with Library(place, create=True) as library, library.writing() as writer:
        space = writer.space_id(space_facts)
        for first in range(0, rows, BLOCK):
            count = min(BLOCK, rows - first)
            vectors = centres[random.integers(0, CENTRES, count)] + random.normal(size=(count, dim)).astype(np.float32)
            copies = np.arange(9, count, 10)
            noise = 0.28 * random.normal(size=(len(copies), dim)).astype(np.float32)
            vectors[copies] = vectors[copies - 1] + noise
            for number, vector in enumerate(vectors.astype(np.float32), first):
                item = Item("/made", f"{number}")
                writer.items.record(item, (1000, 0), hashlib.sha256(item.path.encode()).digest(), "image")
                writer.add_rows(Rows(item, None, vector[None]), space)
                writer.outcomes.record(Outcome(item, "ok", facts={"width": 100, "height": 100}), space)
            writer.commit()


def report(name: str, place: Path, rows: int) -> None:
    """Measure one search in a new process."""
    words = [sys.executable, "-c", FIND, str(place), str(THRESHOLD), name]
    found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    kind = found["kind"] or "exact"
    print(
        f"{name:<11} {found['first']:.1f} s to the first group, {found['seconds']:.1f} s for all ({kind});"
        f" {found['processor']:.1f} s of the processor"
    )
    print(f"memory      {found['start']:.0f} MB before, {found['peak']:.0f} MB at most")
    stated = "" if found["recall"] is None else f"; stated {found['recall']:.3f} of {found['measured']} pairs"
    print(
        f"recall      {found['right'] / (rows // 10):.4f} of {rows // 10:,} copies; {found['groups']:,} groups{stated}"
    )


if __name__ == "__main__":
    main()
