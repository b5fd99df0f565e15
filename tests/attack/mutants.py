"""Damaged files that sightsound reads: libraries, probes, vectors, the ontology, tables of labels, media."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from attack.forks import Forks, Ran
from attack.scenarios import MODELS, tree, write_media

MEMORY = 1_000_000_000
"""How many bytes a command may use, beyond those of a process that has imported the package."""
SECONDS = 20
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")
ODD_BYTES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\x1b[31m",
    b"\n",
)
ODD_VALUES = (
    *(None, True, -1, 0, 1, 2**31, 2**64, 1e308, float("nan"), float("-inf"), "", "x" * 10_000, "\x1b]0;title\x07"),
    *("\ud800", [], {}, [[]], [None], {"a": None}, ["a"] * 1000, "../../x", "/dev/zero"),
)


def damaged(data: bytes, random: Random) -> bytes:
    """Return bytes with one to four changes: replaced, removed, repeated, zeroed or odd bytes, or an early end."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if not changed:
            return b""
        start = random.randrange(min(len(changed), 512)) if random.random() < 0.4 else random.randrange(len(changed))
        stop = start + random.choice([1, 1, 2, 4, 16, 200, 4096])
        kind = random.randrange(7)
        if kind == 0:
            changed[start] ^= 1 << random.randrange(8)
        elif kind == 1:
            changed[start:stop] = random.randbytes(len(changed[start:stop]))
        elif kind == 2:
            odd = random.choice(ODD_BYTES)
            changed[start : start + len(odd)] = odd
        elif kind == 3:
            changed[start:stop] = bytes(len(changed[start:stop]))
        elif kind == 4:
            del changed[start : stop if random.random() < 0.5 else None]
        elif kind == 5:
            changed[start:start] = changed[start:stop]
        else:
            other = random.randrange(len(changed))
            changed[start:stop] = changed[other : other + len(changed[start:stop])]
    return bytes(changed)


def odd_json(text: str, random: Random) -> str:
    """Return JSON in which one to three values are replaced by odd ones, removed or repeated."""
    value = json.loads(text)
    for _ in range(random.randint(1, 3)):
        places = list(_places(value))
        if not places:
            break
        inside, key = random.choice(places)
        kind = random.randrange(4)
        if kind == 0:
            del inside[key]
        elif kind == 1 and isinstance(inside, list):
            inside.insert(key, copy.deepcopy(random.choice(inside)))
        elif kind == 2 and isinstance(inside[key], str) and inside[key][:1] in ("{", "["):
            inside[key] = odd_json(inside[key], random)
        else:
            inside[key] = copy.deepcopy(random.choice(ODD_VALUES))
    return json.dumps(value)


def _places(value: object) -> list[tuple]:
    """Return every place in a JSON value: what holds it, and its key or index there."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for key, inner in pairs for place in [(value, key), *_places(inner)]]


def odd_probe(data: bytes, random: Random) -> bytes:
    """Return a safetensors file whose metadata are odd and whose arrays, and their checksum, are whole."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    metadata = header["__metadata__"]
    metadata["sightsound"] = odd_json(metadata["sightsound"], random)
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return struct.pack("<Q", len(packed)) + packed + data[8 + size :]


@dataclass(frozen=True)
class Target:
    """A file that is damaged, and the commands that read it.

    `prepare(ground)` writes the files into `ground.sound`. One of `files` is damaged by `damage` for each seed.
    `numbers` gives the numbers of an answer, for a target of which `check` must find every damage that changes them.
    """

    name: str
    prepare: Callable[[Ground], None]
    files: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    damage: Callable[[bytes, Random], bytes] = damaged
    numbers: Callable[[str], object] | None = None


@dataclass
class Ground:
    """A target on disk: media, the sound files, and the folder in which they are damaged."""

    target: Target
    folder: Path
    forks: Forks
    answers: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.media, self.sound, self.case = (self.folder / name for name in ("media", "sound", "case"))
        write_media(self.media)
        self.sound.mkdir(parents=True)
        self.target.prepare(self)
        self.inputs = tree(self.media)
        shutil.copytree(self.sound, self.case)
        for command in self.target.commands:
            ran = self.run(command)
            assert ran.code in (0, 1), f"without damage: {ran.text}"
            self.answers[command] = self._numbers(ran)

    def run(self, command: tuple[str, ...]) -> Ran:
        """Run a command under the limits."""
        words = [word.format(media=self.media, case=self.case, sound=self.sound) for word in command]
        return self.forks.run(words, seconds=SECONDS, memory=MEMORY)

    def attack(self, seed: int) -> None:
        """Damage a file, run every command, and assert what must hold."""
        random = Random(f"{self.target.name} {seed}")
        shutil.rmtree(self.case)
        shutil.copytree(self.sound, self.case)
        victim = self.case / random.choice(self.target.files)
        victim.write_bytes(self.target.damage(victim.read_bytes(), random))
        changed, found = [], False
        for command in self.target.commands:
            ran = self.run(command)
            told = (
                f"{self.target.name} {seed}: {' '.join(command)}\nexit code {ran.code}, {ran.seconds:.1f} s\n{ran.text}"
            )
            assert ran.code in (0, 1, 2), told
            assert "Traceback" not in ran.text and "MemoryError" not in ran.text, told
            assert not CONTROL.search(ran.text), f"{told!r}"
            found = found or (command[0] == "check" and ran.code != 0)
            if ran.code == 0 and self.target.numbers and self._numbers(ran) != self.answers[command]:
                changed.append(told)
        assert found or not changed, f"an answer differs and `check` finds nothing:\n{changed[0]}"
        assert tree(self.media) == self.inputs, f"{self.target.name} {seed}: the media were changed"

    def _numbers(self, ran: Ran) -> object:
        return self.target.numbers(ran.text) if self.target.numbers else None


def scores(text: str) -> list[str]:
    """Return every number with four decimals in a text: the similarities of a search."""
    return re.findall(r"-?\d+\.\d{4}", text)


# -- the targets ----------------------------------------------------------------------------------------------------


def _ran(ground: Ground, *words: str, codes: tuple[int, ...] = (0, 1), imports: tuple[str, ...] = ()) -> None:
    places = {"media": ground.media, "case": ground.case, "sound": ground.sound}
    ran = ground.forks.run([word.format(**places) for word in words], imports=imports)
    assert ran.code in codes, ran.text


def _library(ground: Ground) -> None:
    """A library with pages of 512 bytes, most of which matter."""
    _ran(ground, "index", "{media}", "-l", "{sound}/lib", *MODELS, "--tags", "--label-from", "folder")
    _small_pages(ground.sound / "lib" / "library.sqlite")


def _small_pages(file: Path) -> None:
    db = sqlite3.connect(file, isolation_level=None)
    for statement in ("journal_mode = DELETE", "page_size = 512"):
        db.execute(f"PRAGMA {statement}").fetchone()
    db.execute("VACUUM")
    db.close()


def _library_with_wal(ground: Ground) -> None:
    """A library as it is while a writer is at work: its last changes are in the write-ahead log."""
    _ran(ground, "index", "{media}/green", "-l", "{sound}/open", *MODELS)
    file = ground.sound / "open" / "library.sqlite"
    held = sqlite3.connect(file)
    held.execute("SELECT count(*) FROM items").fetchone()  # an open reader keeps the log
    _ran(ground, "index", "{media}", "-l", "{sound}/open", *MODELS, "--tags")
    (ground.sound / "lib").mkdir()
    for name in ("library.sqlite", "library.sqlite-wal"):
        shutil.copy(ground.sound / "open" / name, ground.sound / "lib" / name)
    held.close()
    shutil.rmtree(ground.sound / "open")
    assert (ground.sound / "lib" / "library.sqlite-wal").stat().st_size > 0


def _probe(ground: Ground) -> None:
    _ran(ground, "index", "{media}", "-l", "{sound}/lib", *MODELS, "--label-from", "folder")
    fit = ("probe", "fit", "-l", "{sound}/lib", "-m", "colours.tiny", "--folds", "2", "-o", "{sound}/a.probe")
    _ran(ground, *fit, codes=(0,), imports=("sklearn.linear_model", "scipy.optimize", "scipy.stats"))


def _vector(ground: Ground) -> None:
    _ran(ground, "index", "{media}", "-l", "{sound}/lib", *MODELS)
    np.save(ground.sound / "vector.npy", np.linspace(0, 1, 48, dtype=np.float32))


def _ontology(ground: Ground) -> None:
    names = ("Sound", "Animal", "Dog", "Bark", "Cat")
    links = {"Sound": ["/m/1"], "Animal": ["/m/2", "/m/4"], "Dog": ["/m/3"]}
    nodes = [
        {
            **{
                "id": f"/m/{i}",
                "name": name,
                "description": f"About {name}.",
                "citation_uri": "",
                "positive_examples": [],
            },
            **{"child_ids": links.get(name, []), "restrictions": ["abstract"] if i < 1 else []},
        }
        for i, name in enumerate(names)
    ]
    (ground.sound / "ontology.json").write_text(json.dumps(nodes))


def _labels(ground: Ground) -> None:
    rows = [f"{path.relative_to(ground.media)},{path.stem},{path.parent.name}" for path in ground.media.rglob("*.png")]
    (ground.sound / "labels.csv").write_text("\n".join(["path,label,fold", *sorted(rows), ""]))


LIBRARY = ("-l", "{case}/lib")
ONTOLOGY = ("--weights", "ontology.json={case}/ontology.json", "ontology")
READING = (
    ("check", *LIBRARY),
    ("search", "--id", "1", *LIBRARY),
    ("search", "--tag", "quiet", *LIBRARY),
    ("stats", *LIBRARY),
)
TARGETS = {
    target.name: target
    for target in (
        Target(
            "library",
            _library,
            ("lib/library.sqlite",),
            (*READING, ("index", "{media}", *LIBRARY, *MODELS, "--tags")),
            numbers=lambda text: scores(text) if "embedded" not in text else None,
        ),
        Target(
            "library with a log",
            _library_with_wal,
            ("lib/library.sqlite", "lib/library.sqlite-wal", "lib/library.sqlite-wal"),
            (*READING, ("index", "{media}", *LIBRARY, *MODELS)),
        ),
        Target(
            "probe",
            _probe,
            ("a.probe",),
            (("probe", "show", "{case}/a.probe"), ("probe", "predict", "{case}/a.probe", "{media}/red/0.png")),
        ),
        Target(
            "metadata of a probe",
            _probe,
            ("a.probe",),
            (
                ("probe", "show", "{case}/a.probe"),
                ("probe", "predict", "{case}/a.probe", "{media}/red/0.png"),
                ("probe", "predict", "{case}/a.probe", *LIBRARY),
            ),
            odd_probe,
        ),
        Target(
            "vector",
            _vector,
            ("vector.npy",),
            (("search", "--vector", "{case}/vector.npy", "-m", "colours.tiny", "-l", "{sound}/lib"),),
        ),
        Target(
            "ontology",
            _ontology,
            ("ontology.json",),
            ((*ONTOLOGY, "tree"), (*ONTOLOGY, "find", "dog"), (*ONTOLOGY, "path", "Bark", "Cat")),
            lambda data, random: (
                odd_json(data.decode(), random).encode() if random.random() < 0.7 else damaged(data, random)
            ),
        ),
        Target(
            "table of labels",
            _labels,
            ("labels.csv",),
            (
                ("index", "{media}", *LIBRARY, "-m", "colours.tiny", "--label-from", "{case}/labels.csv"),
                ("stats", *LIBRARY),
                ("check", *LIBRARY),
            ),
        ),
    )
}
