"""A large library of random vectors, and the commands that read or write the whole of one.

`tables.py` runs them.
"""

from __future__ import annotations

import hashlib
import io
import json
import wave
from pathlib import Path

import numpy as np

from sightsound import ClassList, Item, Library
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space

BLOCK = 2_000  # items of a transaction
FOLDERS = 1_000  # of the items; the paths are below `media`
REAL = 10  # of these folders have real files
CLASSES = ClassList("made", tuple(f"class{number}" for number in range(20)))

ATLAS = "export lib -o out.parquet --for embedding-atlas --media none"


def fill(folder: Path, name: str, items: range, windows: int, dim: int) -> None:
    """Make a library of recordings, each with `windows` random vectors, scores, and every second one with a label."""
    space = Space("net.made", json.dumps({"dim": dim, "modality": "sound", "stages": []}))
    spans = np.stack([np.arange(windows), np.arange(windows) + 1.0], axis=1)
    with Library(folder / name, create=True) as library, library.writing() as writer:
        id_ = writer.space_id(space)
        writer.keep_scores(id_, "sigmoid", CLASSES)
        for number in items:
            random = np.random.default_rng(number)
            item = item_of(folder, number)
            digest = hashlib.sha256(recording(number)).digest()
            own = writer.items.record(item, (1, 1), digest, "sound", renamed=False)
            rows = random.standard_normal((windows, dim), dtype=np.float32)
            scores = random.random((windows, len(CLASSES)), dtype=np.float32) ** 200
            writer.add_rows(Rows(item, spans, rows, scores), id_)
            writer.outcomes.record(Outcome(item, "ok", seconds=float(windows), facts={"channels": 1}), id_)
            if number % 2:
                writer.items.label(own, "odd", [str(number % 100)])
            if number % BLOCK == 0:
                writer.commit()
                writer.items.clear_cache()


def item_of(folder: Path, number: int) -> Item:
    """Return an item; those of the first folders have files."""
    return Item(str(folder / "media"), f"{number % FOLDERS:03}/{number}.wav")


def recording(number: int) -> bytes:
    """Return a short WAV file, other bytes for each number."""
    opened = io.BytesIO()
    with wave.open(opened, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(number.to_bytes(8, "little") * 100)
    return opened.getvalue()


def prepare(folder: Path, items: int, dim: int) -> None:
    """Write the files that the commands read: some recordings, queries, and a table of time ranges."""
    for number in range(items):
        if number % FOLDERS < REAL:
            file = Path(item_of(folder, number).file)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(recording(number))
    random = np.random.default_rng(0)
    np.save(folder / "query.npy", random.standard_normal((1, dim), dtype=np.float32))
    np.save(folder / "queries.npy", random.standard_normal((100, dim), dtype=np.float32))
    with open(folder / "ranges.csv", "w", encoding="utf-8") as table:
        table.write("path,root,start,stop,call\n")
        for number in range(items):
            item = item_of(folder, number)
            table.write(f"{item.path},{item.root},{number % 5}.5,{number % 5 + 2}.25,song {number % 7}\n")


STEPS = {
    "list": "list -l lib",
    "list --unlabelled": "list -l lib --unlabelled",
    "list --label": "list -l lib --label odd=7",
    "list --path": "list -l lib --path 00*",
    "list --fact": "list -l lib --fact channels=1",
    "list --failed": "list -l lib --failed",
    "list --gone": "list -l lib --gone",
    "list --csv": "list -l lib -o out.csv",
    "list --json": "list -l lib -o out.json",
    "list --parquet": "list -l lib -o out.parquet",
    "list --parquet --tag": "list -l lib --tag class3 -o out.parquet",
    "stats": "stats -l lib",
    "check": "check -l lib",
    "check --fast": "check -l lib --fast",
    "search": "search -l lib --vector query.npy",
    "search --each, 100 queries": "search -l lib --vector queries.npy --each",
    "search --label": "search -l lib --vector query.npy --label odd=7",
    "search --labelled, half": "search -l lib --vector query.npy --labelled odd",
    "search --fact": "search -l lib --vector query.npy --fact channels=1",
    "search --per window": "search -l lib --vector query.npy --per window",
    "search --tag": "search -l lib --tag class3",
    "search, two libraries": "search -l lib -l other --vector query.npy",
    "tag --library": "tag -l lib --csv -o out.csv",
    "export csv": "export lib -o out.csv",
    "export parquet, --label": "export lib -o out.parquet --label odd=7",
    "export npz": "export lib -o rows.npz",
    "import npz": "import rows.npz -l out --space elsewhere --root media",
    "export parquet": "export lib -o rows.parquet",
    "import parquet": "import rows.parquet -l out --space elsewhere",
    "export embedding-atlas, no neighbours": f"{ATLAS} --neighbours 0",
    "export huggingface, 1 of 100 items": "export lib -o out --for huggingface --path 00[0-9]/*",
    "merge into a new library": "merge lib other --into out",
    "merge into one of them": "merge lib other --into other",
    "label --to": "label -l lib --to labels.csv",
    "label --from": "label -l lib --from labels.csv",
    "label --from, time ranges": "label -l lib --from ranges.csv",
    "label --to --ranges": "label -l lib --to out.csv --ranges",
    "label --to --raven": "label -l lib --to out.txt --raven",
    "label --label --set": "label -l lib --label odd=7 --set mood=calm",
    "label PATH --set, all": "label media -l lib --set place=here",
    "label PATH --clear, all": "label media -l lib --clear place",
    "facts --stored": "facts -l lib --stored",
    "facts, 1 of 100 files is there": "facts -l lib",
    "probe fit": "probe fit -l lib -m net.made --label-column odd --no-curve -o odd.probe",
    "probe eval": "probe eval odd.probe -l lib --label-column odd",
    "probe predict --csv": "probe predict odd.probe -l lib -o out.csv",
    "copy": "copy lib out",
    "index-build": "index-build -l lib",
    "search, index": "search -l lib --vector query.npy",
    "export embedding-atlas, index": ATLAS,
    "duplicates --against 1 of 1,000 folders": "duplicates -l lib --against media/001 --csv out.csv",
    "duplicates": "duplicates -l lib --csv out.csv",
    "duplicates --windows, index": "duplicates -l lib --windows --csv out.csv",
    "forget 1 of 1,000 folders": "forget media/002 -l lib",
    "forget --missing": "forget --missing --yes -l lib",
    "compact": "compact -l lib",
    "check, the rest": "check -l lib",
}
"""Name -> words of the command line, in the folder of the benchmark. They run in this order, since some read what an
earlier one wrote; what is called `out` or `out.*` is removed after each."""
