"""Damaged files that sightsound reads: libraries, probes, vectors, the ontology, tables of labels, media."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from attack.damage import CONTROL, damaged, made_up_library, odd_json, odd_probe
from attack.forks import Forks, Ran
from attack.scenarios import FITTING, MODELS
from attack.scenes import tree, write_media
from made import write_image, write_shade, write_sound

MEMORY = 1_000_000_000
"""How many bytes a command may use, beyond those of a process that has imported the package."""
SECONDS = 20


@dataclass(frozen=True)
class Target:
    """A file that is damaged, and the commands that read it.

    `prepare(ground)` writes the files into `ground.sound`. One of `files` is damaged by `damage` for each seed.
    `numbers` gives the numbers of an answer, for a target of which `check` must find every damage that changes them.
    `codes` are the exit codes of commands that read a damaged file.
    """

    name: str
    prepare: Callable[[Ground], None]
    files: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    damage: Callable[[bytes, Random], bytes] = damaged
    numbers: Callable[[str], object] | None = None
    codes: tuple[int, ...] = (0, 1, 2)
    imports: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


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
        environment = {name: value.format(case=self.case) for name, value in self.target.environment.items()}
        how = {"imports": self.target.imports, "environment": environment}
        return self.forks.run(words, seconds=SECONDS, memory=MEMORY, **how)

    def attack(self, seed: int) -> None:
        """Damage a file, run every command, and assert what must hold."""
        random = Random(f"{self.target.name} {seed}")
        shutil.rmtree(self.case)
        shutil.copytree(self.sound, self.case)
        victim = random.choice(sorted(self.case.glob(random.choice(self.target.files))))
        whole = victim.read_bytes()
        victim.write_bytes(self.target.damage(whole, random))
        codes = self.target.codes if victim.read_bytes() != whole else (0, 1)
        changed, found = [], False
        for command in self.target.commands:
            ran = self.run(command)
            told = (
                f"{self.target.name} {seed}: {' '.join(command)}\nexit code {ran.code}, {ran.seconds:.1f} s\n{ran.text}"
            )
            assert ran.code in codes, told
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
    _ran(ground, "index", "{media}", "-l", "{sound}/lib", *MODELS, "--label-from", "folder")
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
    _ran(ground, "index", "{media}", "-l", "{sound}/open", *MODELS)
    (ground.sound / "lib").mkdir()
    for file in (ground.sound / "open").glob("library.*"):
        shutil.copy(file, ground.sound / "lib")
    held.close()
    shutil.rmtree(ground.sound / "open")
    assert (ground.sound / "lib" / "library.sqlite-wal").stat().st_size > 0


def _probe(ground: Ground) -> None:
    _ran(ground, "index", "{media}", "-l", "{sound}/lib", *MODELS, "--label-from", "folder")
    fit = ("probe", "fit", "-l", "{sound}/lib", "-m", "colours.tiny", "--folds", "2", "-o", "{sound}/a.probe")
    _ran(ground, *fit, codes=(0,), imports=FITTING)


def _vector(ground: Ground) -> None:
    _ran(ground, "index", "{media}", "-l", "{sound}/lib", *MODELS)
    np.save(ground.sound / "vector.npy", np.linspace(0, 1, 48, dtype=np.float32))


def _stack(ground: Ground) -> None:
    for colour, name in enumerate(("red", "green")):
        for i in range(4, 12):
            write_shade(ground.media / name / f"{i}.png", colour, 100 * colour + i)
    _ran(ground, "index", "{media}", "-l", "{sound}/lib", *MODELS, "-m", "pixels.fetch", "--label-from", "folder")
    fit = ("stack", "-l", "{sound}/lib", "-m", "colours.tiny", "-m", "pixels.fetch", "--folds", "2")
    _ran(ground, *fit, "-o", "{sound}/a.probe", codes=(0,), imports=FITTING)


class Absent(Exception):
    """What an attack needs is not on this machine."""


def _weights(name: str, below: str = "") -> Callable[[Ground], None]:
    """The weight file NAME from the cache of this user, and media for its network."""

    def prepare(ground: Ground) -> None:
        import platformdirs

        cache = platformdirs.user_cache_path("sightsound") / "weights"
        found = next(iter(sorted(cache.glob(f"*/{name}"))), None)
        if found is None:
            raise Absent(f"{name} is not in {cache}")
        target = ground.sound / below / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, target)
        write_image(ground.media / "a.png")
        write_sound(ground.media / "a.wav", rate=16000)

    return prepare


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
SHOW = ("probe", "show", "{case}/a.probe")
PREDICT = ("probe", "predict", "{case}/a.probe", "{media}/red/0.png")
NETWORKS = (
    ("yamnet.tflite", "{media}/a.wav", "yamnet.audioset_i8", "sightsound_audioset.yamnet_int8"),
    ("mobilenet_v2-b0353104.pth", "{media}/a.png", "mobilenet_v2.tv_in1k", "sightsound_timm.torchvision_networks"),
)
DIGESTS = (
    "10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
    "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
)
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
            (*READING, ("index", "{media}", *LIBRARY, *MODELS)),
            numbers=scores,
        ),
        Target(
            "library with a log",
            _library_with_wal,
            ("lib/library.sqlite", "lib/library.sqlite-wal", "lib/library.sqlite-wal"),
            (*READING, ("index", "{media}", *LIBRARY, *MODELS)),
        ),
        Target(
            "rows of a library",
            _library,
            ("lib/library.*.f32", "lib/library.*.records"),
            (
                *READING,
                ("search", "{media}/red/0.png", *LIBRARY),
                ("compact", *LIBRARY),
                ("copy", "{case}/lib", "{case}/copy"),
                ("index", "{media}", *LIBRARY, *MODELS),
            ),
            numbers=scores,
        ),
        Target(
            "probe",
            _probe,
            ("a.probe",),
            (SHOW, PREDICT),
        ),
        Target(
            "metadata of a probe",
            _probe,
            ("a.probe",),
            (SHOW, PREDICT, ("probe", "predict", "{case}/a.probe", *LIBRARY)),
            odd_probe,
        ),
        Target("metadata of a stack", _stack, ("a.probe",), (SHOW, PREDICT), odd_probe),
        Target("stack", _stack, ("a.probe",), (SHOW, PREDICT)),
        Target(
            "crafted library",
            _library,
            ("lib/library.sqlite",),
            (
                *READING,
                ("search", "{media}/red/0.png", *LIBRARY),
                ("forget", "--missing", *LIBRARY),
                ("search", "--id", "1", "--label", "red", *LIBRARY),
                ("probe", "fit", *LIBRARY, "-m", "colours.tiny", "--folds", "2", "-o", "{case}/b.probe"),
                ("index", "{media}", *LIBRARY, *MODELS),
                ("forget", "--space", "colours.tiny", "--yes", *LIBRARY),
            ),
            made_up_library,
            imports=FITTING,
        ),
        *(
            Target(
                f"{file} named by the user",
                _weights(file),
                (file,),
                (("--weights", f"{file}={{case}}/{file}", "embed", media, "-m", model, "-o", "{case}/out.npz"),),
                imports=("torch", module),
            )
            for file, media, model, module in NETWORKS
        ),
        *(
            Target(
                f"{file} in the cache",
                _weights(file, f"cache/sightsound/weights/{digest}"),
                (f"cache/sightsound/weights/{digest}/{file}",),
                (("embed", media, "-m", model, "-o", "{case}/out.npz"),),
                codes=(2,),
                imports=("torch", module),
                environment={"XDG_CACHE_HOME": "{case}/cache", "SIGHTSOUND_OFFLINE": "1", "SIGHTSOUND_WEIGHTS": ""},
            )
            for (file, media, model, module), digest in zip(NETWORKS, DIGESTS)
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
