"""How long `list` and `export` take on a large library, and how much memory they need.

    python tests/benchmarks/tables.py [--items 1000000] [--windows 10] [--dim 64] [--folder FOLDER]

The library has recordings of `--windows` random vectors each, and a label for every second one. Each command runs in a
process of its own. Printed are its seconds, the peak of its anonymous memory, and the size of what it wrote, in MB.
Run it where the folder is on a local disk, and has room for about six times the vectors. The files are removed at the
end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sightsound import Item, Library
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space

BLOCK = 2_000  # items of a transaction

RUN = """
import sys, threading, time, json
peak, done = [0.0], threading.Event()
def watch():
    while not done.wait(0.05):
        status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
        peak[0] = max(peak[0], int(status["RssAnon"].split()[0]) / 1e3)
watching = threading.Thread(target=watch); watching.start()
before = time.perf_counter()
import sightsound
def run(words):
    from sightsound.cli import cli
    cli(words, standalone_mode=False)
exec(sys.argv[1])
seconds = time.perf_counter() - before
done.set(); watching.join()
print(json.dumps([seconds, peak[0]]))
"""

COMMANDS = {
    "list": "print(sum(1 for _ in sightsound.list_items({lib})))",
    "list --unlabelled": (
        "where = sightsound.Filter(unlabelled=('',)); print(sum(1 for _ in sightsound.list_items({lib}, where=where)))"
    ),
    "list --csv": "run(['list', '-l', {lib}, '-o', {out} + '.csv'])",
    "list --parquet": ("run(['list', '-l', {lib}, '-o', {out} + '.parquet'])"),
    "export parquet": "sightsound.export_rows({lib}, {out} + '.parquet', progress=False)",
    "export parquet, labelled": (
        "sightsound.export_rows({lib}, {out} + '.parquet', where=sightsound.Filter(labels=('odd=7',)), progress=False)"
    ),
    "export npz": "sightsound.export_rows({lib}, {out} + '.npz', progress=False)",
    "export csv": "sightsound.export_rows({lib}, {out} + '.csv', progress=False)",
    "export atlas, no neighbours": (
        "sightsound.export_atlas({lib}, {out} + '.parquet', neighbours=0, media='none', progress=False)"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        before = time.perf_counter()
        fill(Path(folder, "lib"), options.items, options.windows, options.dim)
        print(f"filled in {time.perf_counter() - before:.0f} s", flush=True)
        for name, code in COMMANDS.items():
            measure(Path(folder), name, code)


def fill(where: Path, items: int, windows: int, dim: int) -> None:
    space = Space("net.made", json.dumps({"dim": dim, "modality": "sound", "stages": []}))
    random = np.random.default_rng(0)
    spans = np.stack([np.arange(windows), np.arange(windows) + 1.0], axis=1)
    with Library(where, create=True) as library, library.writing() as writer:
        id_ = writer.space_id(space)
        for number in range(items):
            item = Item("/made", f"{number % 1000:03}/{number}.wav")
            digest = hashlib.sha256(item.path.encode()).digest()
            own = writer.items.record(item, (1, 1), digest, "sound")
            rows = random.standard_normal((windows, dim), dtype=np.float32)
            writer.add_rows(Rows(item, spans, rows), id_)
            writer.outcomes.record(Outcome(item, "ok", seconds=float(windows)), id_)
            if number % 2:
                writer.items.label(own, "odd", [str(number % 100)])
            if number % BLOCK == 0:
                writer.commit()


def measure(folder: Path, name: str, code: str) -> None:
    out = folder / "out"
    filled = code.format(lib=repr(os.fspath(folder / "lib")), out=repr(os.fspath(out)))
    done = subprocess.run([sys.executable, "-c", RUN, filled], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"{name}: failed")
        return
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    written = list(folder.glob("out.*"))
    size = sum(file.stat().st_size for file in written) / 1e6
    for file in written:
        file.unlink()
    print(f"{name}: {seconds:.1f} s, {peak:.0f} MB anonymous, {size:.0f} MB written", flush=True)


if __name__ == "__main__":
    main()
